/**
 * The blocks of blobs that were read last.
 *
 * An image lists its files in another order than its blobs store them, but files of a directory lie
 * close together. Reading what surrounds a small chunk takes less time than the system call for the
 * next one.
 */
import { byteCache } from '../../lib/memory/byte-cache.js';
import type { ReaderAt } from '../io/reader-at.js';

/** Bytes of a block, which is read as one. */
const BLOCK_SIZE = 0x20000;
/** Blocks that are read together where a blob is read front to back. */
const BLOCKS_AHEAD = 8;
/** Bytes of blocks that are held, of all blobs together. */
const BLOCKS_HELD = 0x400000;
/** More blocks than a blob can have: offsets are below 2^53. */
const MOST_BLOCKS = 2 ** 36;

/** How far a blob has been read. */
interface Reading {
  /** in the cache, of block 0 */
  readonly firstKey: number;
  /** the block after those that were read last */
  onward: number | undefined;
}

/** Where stored bytes of blobs come from. */
export interface StoredBytes {
  /** Bytes of a blob, not to be changed; without a promise if they are held. */
  read(source: ReaderAt, offset: number, size: number): Buffer | Promise<Buffer>;
}

export class BlobBlocks implements StoredBytes {
  readonly #held = byteCache(BLOCKS_HELD);
  readonly #readings = new Map<ReaderAt, Reading>();

  /**
   * Bytes of a blob, not to be changed; without a promise if they are held. Fails with CORRUPT if
   * they pass the end of the blob.
   */
  read(source: ReaderAt, offset: number, size: number): Buffer | Promise<Buffer> {
    const isLarge = size >= BLOCK_SIZE || size === 0;
    if (source.readsAhead || isLarge || !(offset >= 0 && offset + size <= source.size)) {
      return source.read(offset, size);
    }
    const first = Math.floor(offset / BLOCK_SIZE);
    const from = offset - first * BLOCK_SIZE;
    const block = this.#block(source, first);
    if (from + size <= BLOCK_SIZE) {
      const view = (bytes: Buffer): Buffer => bytes.subarray(from, from + size);
      return block instanceof Promise ? block.then(view) : view(block);
    }
    const next = this.#block(source, first + 1);
    const joined = (a: Buffer, b: Buffer): Buffer =>
      Buffer.concat([a.subarray(from), b.subarray(0, from + size - BLOCK_SIZE)]);
    if (!(block instanceof Promise || next instanceof Promise)) return joined(block, next);
    return Promise.all([block, next]).then(([a, b]) => joined(a, b));
  }

  #block(source: ReaderAt, index: number): Buffer | Promise<Buffer> {
    let reading = this.#readings.get(source);
    if (!reading) {
      reading = { firstKey: this.#readings.size * MOST_BLOCKS, onward: undefined };
      this.#readings.set(source, reading);
    }
    return this.#held.get(reading.firstKey + index) ?? this.#load(source, reading, index);
  }

  /** Reads a block, and those after it where the blob is read front to back. */
  async #load(source: ReaderAt, reading: Reading, index: number): Promise<Buffer> {
    const count = reading.onward === index ? BLOCKS_AHEAD : 1;
    reading.onward = index + count;
    const offset = index * BLOCK_SIZE;
    const bytes = await source.read(offset, Math.min(count * BLOCK_SIZE, source.size - offset));
    for (let i = 0, at = 0; at < bytes.length; i++, at += BLOCK_SIZE) {
      // views of one buffer, which goes when the last of them does: they were read last, too
      this.#held.set(reading.firstKey + index + i, bytes.subarray(at, at + BLOCK_SIZE));
    }
    return bytes.subarray(0, BLOCK_SIZE);
  }
}
