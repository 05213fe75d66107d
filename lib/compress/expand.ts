import { RafsError, corrupt } from '../errors.js';
import type { Allocator } from '../memory/allocate.js';
import type { Compressor } from '../layout/compressors.js';
import { decompress, mostOutput } from './compressors.js';

/**
 * Decompresses bytes whose plain size was read from disk: refuses what they cannot hold.
 *
 * @param room makes the memory for the result, which is never a view of `stored` then
 */
export const expand = (
  compressor: Compressor,
  stored: Buffer,
  size: number,
  at: Record<string, string | number>,
  room?: Allocator,
): Buffer => {
  if (compressor === 'none') {
    if (stored.length === size) {
      if (!room) return stored;
      const plain = room(size);
      stored.copy(plain);
      return plain;
    }
    throw corrupt(`expected ${size} bytes, got ${stored.length}`, at);
  }
  if (size > MAX_SECTION || (size > FREE_SIZE && size > stored.length * MOST_RATIO)) {
    throw new RafsError(
      'LIMIT',
      `${stored.length} bytes cannot be unpacked to ${size}, which is too many`,
      at,
    );
  }
  if (size > stored.length * mostOutput(compressor)) {
    throw corrupt(`${stored.length} bytes of ${compressor} cannot hold ${size}`, at);
  }
  try {
    return decompress(compressor, stored, size, room);
  } catch (error) {
    if (error instanceof RafsError) throw new RafsError(error.code, error.message, at);
    throw error;
  }
};

/**
 * Sections up to this size may be compressed as well as their compressor can; larger ones at most
 * by this ratio, so that a few kilobytes cannot ask for gigabytes. Bootstraps and tables of real
 * images, with millions of inodes, are compressed by a factor of 3 to 20.
 */
const FREE_SIZE = 0x4000000;
const MOST_RATIO = 100;

/** Most bytes of a section when unpacked. */
const MAX_SECTION = 2 ** 31 - 1;
