/** Opens a bootstrap of any version. */
import { RafsError } from '../errors.js';
import type { Bootstrap } from './bootstrap.js';
import { VERSIONS } from './versions.js';

const versionAt = (head: Buffer) => Object.values(VERSIONS).find(({ is }) => is(head));

/** Whether bytes start like a bootstrap; 4096 of them are enough to tell. */
export const isBootstrap = (head: Buffer): boolean => versionAt(head) !== undefined;

/** Reads a bootstrap: the whole file. */
export const parseBootstrap = (image: Buffer): Bootstrap => {
  const version = versionAt(image);
  if (!version) throw new RafsError('CORRUPT', 'invalid RAFS superblock');
  return version.parse(image);
};
