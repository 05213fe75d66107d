/** Opens a bootstrap of any version. */
import type { Bootstrap } from './bootstrap.js';
import { RafsError } from '../errors.js';
import { parseV5 } from './v5/reader.js';
import { isV5 } from './v5/tables.js';
import { parseV6 } from './v6/reader.js';
import { isV6 } from './v6/tables.js';

/** Whether bytes start like a bootstrap; 4096 of them are enough to tell. */
export const isBootstrap = (head: Buffer): boolean => isV5(head) || isV6(head);

/** Reads a bootstrap: the whole file. */
export const parseBootstrap = (image: Buffer): Bootstrap => {
  if (isV5(image)) return parseV5(image);
  if (isV6(image)) return parseV6(image);
  throw new RafsError('CORRUPT', 'invalid RAFS superblock');
};
