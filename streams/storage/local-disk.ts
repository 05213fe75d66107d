/** Blobs stored as partitions of a disk, or of a disk image in a file. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { LocalDiskBackend } from '../../lib/config/backends.js';
import { located, RafsError } from '../../lib/errors.js';
import {
  findPartition,
  parseGptHeader,
  parsePartitions,
  type Partition,
} from '../../lib/device/gpt.js';
import { SECTOR_SIZE } from '../../lib/layout/gpt.js';
import type { ReaderAt } from '../io/reader-at.js';
import type { Storage } from './storage.js';

export const localDisk = ({ devicePath, disableGpt }: LocalDiskBackend): Storage => {
  let partitions: readonly Partition[] | undefined;
  return {
    async open(id) {
      if (disableGpt) {
        throw new RafsError(
          'UNSUPPORTED',
          'a disk without a GPT does not say where its blobs are',
          {
            file: devicePath,
          },
        );
      }
      const handle = await openDisk(devicePath);
      try {
        partitions ??= await readTable(handle);
        const partition = findPartition(partitions, id);
        if (!partition)
          throw new RafsError('BACKEND', 'the disk has no partition for the blob', { blob: id });
        return new PartitionBytes(handle, partition);
      } catch (error) {
        await handle.close();
        throw located(error, { file: devicePath });
      }
    },
  };
};

/** Fails with BACKEND, not a bare system error: ENOENT would mean that a blob is missing. */
const openDisk = async (file: string): Promise<FileHandle> => {
  try {
    return await open(file, constants.O_RDONLY);
  } catch (cause) {
    throw new RafsError('BACKEND', 'cannot open the disk', { file }, { cause });
  }
};

const readTable = async (handle: FileHandle): Promise<Partition[]> => {
  const header = parseGptHeader(await readFully(handle, SECTOR_SIZE, SECTOR_SIZE));
  const { entriesSector, entryCount, entrySize } = header;
  const bytes = await readFully(handle, entriesSector * SECTOR_SIZE, entryCount * entrySize);
  return parsePartitions(header, bytes, await sizeOf(handle));
};

/** stat() gives no size for a device: it ends at the first offset where a read returns nothing. */
const sizeOf = async (handle: FileHandle): Promise<number> => {
  const stat = await handle.stat();
  if (stat.isFile()) return stat.size;
  const byte = Buffer.alloc(1);
  let low = 0;
  let high = Number.MAX_SAFE_INTEGER;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    // a read beyond what the system can address fails
    const { bytesRead } = await handle.read(byte, 0, 1, middle).catch(() => ({ bytesRead: 0 }));
    if (bytesRead === 1) low = middle + 1;
    else high = middle;
  }
  return low;
};

const readFully = async (handle: FileHandle, offset: number, size: number): Promise<Buffer> => {
  const bytes = Buffer.allocUnsafeSlow(size);
  let at = 0;
  while (at < size) {
    const { bytesRead } = await handle.read(bytes, at, size - at, offset + at);
    if (bytesRead === 0) {
      throw new RafsError(
        'CORRUPT',
        `${size} bytes at ${offset} extend past the end of the disk at ${offset + at}`,
      );
    }
    at += bytesRead;
  }
  return bytes;
};

class PartitionBytes implements ReaderAt {
  readonly size: number;
  readonly padded = true;
  readonly #handle: FileHandle;
  readonly #offset: number;

  constructor(handle: FileHandle, { offset, size }: Partition) {
    this.#handle = handle;
    this.#offset = offset;
    this.size = size;
  }

  async read(offset: number, size: number): Promise<Buffer> {
    if (!(offset >= 0 && size >= 0 && offset + size <= this.size)) {
      throw new RafsError(
        'CORRUPT',
        `${size} bytes at ${offset} extend past the end of the blob at ${this.size}`,
      );
    }
    return readFully(this.#handle, this.#offset + offset, size);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
