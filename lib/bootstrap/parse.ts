/** Opens a bootstrap of any version. */
import { RafsError } from '../errors.js';
import type { Bootstrap } from './bootstrap.js';
import { VERSIONS, type Version } from './versions.js';

/** How many bytes of a file are enough to tell whether it starts with a bootstrap, and of which. */
export const HEAD_SIZE = 8192;

/** The version of the bootstrap that bytes start like; undefined if they do not. */
export const versionAt = (head: Buffer): Version | undefined =>
  Object.values(VERSIONS).find(({ is }) => is(head));

/** Reads a bootstrap: the whole file. */
export const parseBootstrap = (image: Buffer): Bootstrap => {
  const version = versionAt(image);
  if (!version) throw new RafsError('CORRUPT', 'invalid RAFS superblock');
  return version.parse(image);
};
