/** Files that are read whole: lists, configurations, certificates. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { RafsError } from '../../lib/errors.js';

/** Most bytes of a file that holds settings or a list; no real one comes near. */
export const MAX_SMALL_FILE = 0x4000000;

/**
 * Reads a regular file, a FIFO or a pipe to its end. UNSUPPORTED for devices, LIMIT for more than
 * `limit` bytes; the system's error if it cannot be opened or read, EISDIR for a directory.
 */
export const readSmallFile = async (path: string, limit = MAX_SMALL_FILE): Promise<Buffer> => {
  const handle = await open(path, constants.O_RDONLY);
  try {
    await refuseDevice(handle, path);
    return await readUpTo(handle, limit, path);
  } finally {
    await handle.close();
  }
};

/** Fails with UNSUPPORTED for an open device, whose bytes may never end. */
export const refuseDevice = async (handle: FileHandle, file: string): Promise<void> => {
  const stat = await handle.stat();
  if (stat.isCharacterDevice() || stat.isBlockDevice()) {
    throw new RafsError('UNSUPPORTED', 'expected a file, got a device', { file });
  }
};

/** What is left of an open file; LIMIT if that is more than `limit` bytes. */
export const readUpTo = async (
  handle: FileHandle,
  limit: number,
  file: string,
): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  let size = 0;
  for (;;) {
    const piece = Buffer.allocUnsafeSlow(PIECE_SIZE);
    const { bytesRead } = await handle.read(piece, 0, PIECE_SIZE, null);
    if (bytesRead === 0) return Buffer.concat(pieces, size);
    size += bytesRead;
    if (size > limit)
      throw new RafsError('LIMIT', `the file has more than ${limit} bytes`, { file });
    pieces.push(bytesRead < PIECE_SIZE ? Buffer.from(piece.subarray(0, bytesRead)) : piece);
  }
};

const PIECE_SIZE = 0x10000;
