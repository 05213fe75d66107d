/** Bytes that can be read at any offset: a file, or whatever else stores blobs. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { allocate } from '../../lib/memory/allocate.js';
import { RafsError } from '../../lib/errors.js';
import { readUpTo, refuseDevice } from './small-file.js';

export interface ReaderAt {
  readonly size: number;
  /** reads ahead by itself, so nobody else needs to */
  readonly readsAhead?: true;
  /** the bytes may be followed by others that make a whole sector */
  readonly padded?: true;
  /**
   * Exactly `size` bytes, which no later read changes; CORRUPT if they pass the end.
   *
   * @param into a buffer of that size, for implementations that can use it
   */
  read(offset: number, size: number, into?: Buffer): Promise<Buffer>;
  close(): Promise<void>;
}

/** Most bytes that are read from a pipe, which cannot be read at any offset. */
const MAX_PIPE = 0x40000000;

/**
 * Opens a file; a FIFO or a pipe is first read whole, up to 1 GiB. UNSUPPORTED for devices,
 * EISDIR for directories.
 */
export const openReaderAt = async (path: string): Promise<ReaderAt> => {
  const handle = await open(path, constants.O_RDONLY);
  try {
    const stat = await handle.stat();
    if (stat.isFile()) return new FileBytes(path, handle, stat.size);
    await refuseDevice(handle, path);
    const bytes = await readUpTo(handle, MAX_PIPE, path);
    await handle.close();
    return readerOf(bytes, path);
  } catch (error) {
    await handle.close();
    throw error;
  }
};

/** Bytes in memory. */
export const readerOf = (bytes: Buffer, path: string): ReaderAt => ({
  size: bytes.length,
  async read(offset, size) {
    within(offset, size, bytes.length, path);
    return bytes.subarray(offset, offset + size);
  },
  async close() {},
});

/** The same bytes; counts those that are read. */
export const countingReader = (source: ReaderAt, counters: { bytesIn: number }): ReaderAt => ({
  size: source.size,
  ...(source.readsAhead ? { readsAhead: true } : {}),
  ...(source.padded ? { padded: true } : {}),
  async read(offset, size, into) {
    const bytes = await source.read(offset, size, into);
    counters.bytesIn += bytes.length;
    return bytes;
  },
  close: () => source.close(),
});

const within = (offset: number, size: number, end: number, file: string): void => {
  if (offset >= 0 && size >= 0 && offset + size <= end) return;
  throw new RafsError('CORRUPT', `${size} bytes at ${offset} extend past the end at ${end}`, {
    file,
  });
};

class FileBytes implements ReaderAt {
  readonly size: number;
  #path: string;
  #handle: FileHandle;

  constructor(path: string, handle: FileHandle, size: number) {
    this.#path = path;
    this.#handle = handle;
    this.size = size;
  }

  async read(offset: number, size: number, into?: Buffer): Promise<Buffer> {
    within(offset, size, this.size, this.#path);
    const bytes = into ?? allocate(size);
    let at = 0;
    while (at < size) {
      const { bytesRead } = await this.#handle.read(bytes, at, size - at, offset + at);
      // the file has become shorter since it was opened
      if (bytesRead === 0) within(offset, size, offset + at, this.#path);
      at += bytesRead;
    }
    return bytes;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
