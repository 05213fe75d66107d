/** Reads a block of v6 directory entries: all heads, then all names; the last has no stated end. */
import { RafsError } from '../../errors.js';
import { Dirent } from '../../layout/rafs-v6.js';
import { u16, u64, u8 } from '../../layout/struct.js';

const MAX_NAME = 255;

export interface DirentV6 {
  name: string;
  nid: number;
  fileType: number;
  /** of its head, in the image */
  offset: number;
}

/**
 * The entries of the block from `start` to `end`, including '.' and '..'; both bounds must lie in
 * the image. Names have 1 to 255 bytes, without '/' and NUL.
 */
export function* readDirents(image: Buffer, start: number, end: number): Iterable<DirentV6> {
  const blockSize = end - start;
  const corrupt = (message: string, offset: number): RafsError =>
    new RafsError('CORRUPT', `${message} in a directory block of ${blockSize} bytes`, { offset });
  if (blockSize < Dirent.size) throw corrupt('missing entry', start);
  const headsSize = u16.read(image, start + Dirent.offsets.nameOffset);
  if (headsSize % Dirent.size !== 0 || headsSize === 0 || headsSize >= blockSize) {
    throw corrupt(`invalid name offset ${headsSize}`, start);
  }
  let nameOffset = headsSize;
  for (let offset = start; offset < start + headsSize; offset += Dirent.size) {
    const next = offset + Dirent.size;
    const nameEnd =
      next === start + headsSize
        ? lastNameEnd(image, start + nameOffset, end) - start
        : u16.read(image, next + Dirent.offsets.nameOffset);
    const nameSize = nameEnd - nameOffset;
    if (nameSize < 1 || nameSize > MAX_NAME || nameEnd > blockSize) {
      throw corrupt(`invalid name from ${nameOffset} to ${nameEnd}`, offset);
    }
    const name = image.toString('latin1', start + nameOffset, start + nameEnd);
    if (name.includes('/') || name.includes('\0'))
      throw corrupt('a name contains a slash or NUL', offset);
    nameOffset = nameEnd;
    yield {
      name,
      nid: u64.read(image, offset + Dirent.offsets.nid),
      fileType: u8.read(image, offset + Dirent.offsets.fileType),
      offset,
    };
  }
}

/** Where the last name of a block ends: at the first NUL, or with the block. */
const lastNameEnd = (image: Buffer, from: number, end: number): number => {
  if (from >= end) return from;
  const nul = image.subarray(from, end).indexOf(0);
  return nul < 0 ? end : from + nul;
};
