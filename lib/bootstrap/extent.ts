/** How much of a file is a bootstrap. */
import type { TableExtent } from '../model/stored.js';

export interface BootstrapExtent {
  /** of the bootstrap, in bytes from the start of the file */
  size: number;
  /** there is nothing else in the file, except in a disk image, where blobs follow */
  isWhole: boolean;
}

/**
 * Tells it from a file's first bytes and from what it has to read besides, which it yields.
 * Undefined if the bootstrap does not say where it ends.
 */
export type FindExtent = (
  head: Buffer,
  fileSize: number,
) => Generator<TableExtent, BootstrapExtent | undefined, Buffer>;
