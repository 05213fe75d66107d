/**
 * Buffers that are reused, for bytes that flow. One stage takes them, in stream order, and a later
 * one reports its progress: what was taken before that point is free again. A stream of any length
 * then uses the same few buffers, and leaves nothing to collect.
 *
 * Only for pipelines in which nothing keeps bytes that have passed the reporting stage.
 */
import { allocate } from './allocate.js';

/** Most bytes of taken buffers that a pool keeps track of; but always at least two buffers. */
const HELD = 0x1000000;
/** Joins of fewer bytes share buffers. */
const LEAST_JOIN = 0x10000;
/** Size of the buffers that they share. */
const SHARED_JOINS = 0x40000;

export class BufferPool {
  /** size of every buffer */
  readonly size: number;
  readonly #free: Buffer[] = [];
  /** in the order in which they were taken */
  readonly #taken: Buffer[] = [];
  readonly #most: number;

  constructor(size: number) {
    this.size = size;
    this.#most = Math.max(2, Math.floor(HELD / size));
  }

  /** A buffer of `size` bytes, not zeroed. */
  take(): Buffer {
    const buffer = this.#free.pop() ?? allocate(this.size);
    this.#taken.push(buffer);
    // no progress was reported for long: the oldest is left to whoever uses it
    if (this.#taken.length > this.#most) this.#taken.shift();
    return buffer;
  }

  /**
   * Reports that buffers taken before the one that `bytes` are a view of are no longer used. Does
   * nothing for a view of something else.
   */
  releaseBefore(bytes: Buffer): void {
    const taken = this.#taken;
    if (taken.length < 2 || taken[0]!.buffer === bytes.buffer) return;
    const at = taken.findIndex(buffer => buffer.buffer === bytes.buffer);
    if (at > 0) this.#free.push(...taken.splice(0, at));
  }

  /** Whether these bytes are a view of a taken buffer. */
  has(bytes: Buffer): boolean {
    return this.#taken.some(buffer => buffer.buffer === bytes.buffer);
  }

  /** Call it when no more will be taken: drops the buffers, even those still in use. */
  clear(): void {
    this.#free.length = this.#taken.length = 0;
  }
}

/**
 * Copies of bytes in the buffers of a pool, one after another: another buffer is taken when the
 * next copy does not fit.
 */
export class PooledCopies {
  readonly #pool: BufferPool;
  #buffer: Buffer | undefined;
  #used = 0;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Memory for the caller to fill: `size` bytes of one buffer, no more than a buffer has. */
  room(size: number): Buffer {
    if (size > this.#pool.size) throw new RangeError(`${size} bytes are over ${this.#pool.size}`);
    if (!this.#buffer || this.#used + size > this.#buffer.length) {
      this.#buffer = this.#pool.take();
      this.#used = 0;
    }
    this.#used += size;
    return this.#buffer.subarray(this.#used - size, this.#used);
  }

  /** A copy of bytes that fit a buffer of the pool. */
  copyOf(bytes: Buffer): Buffer {
    const copy = this.room(bytes.length);
    bytes.copy(copy);
    return copy;
  }
}

/**
 * Memory for the bytes of a source until they are copied for the last time: pieces as they come,
 * and joins of pieces that belong together.
 */
export class BufferFlow {
  readonly #pieces: readonly BufferPool[];
  readonly #joins: BufferPool;
  readonly #smallJoins = new BufferPool(SHARED_JOINS);
  readonly #small = new PooledCopies(this.#smallJoins);
  /** the last piece in a join, by the memory of the join; only if that is not shared */
  readonly #lastOf = new WeakMap<ArrayBufferLike, Buffer>();

  /**
   * @param pieces pools that pieces come from, each in stream order
   * @param joinSize size of the largest join
   */
  constructor(pieces: readonly BufferPool[], joinSize: number) {
    this.#pieces = pieces;
    this.#joins = new BufferPool(joinSize);
  }

  /** A buffer for a join of `size` bytes; `last` is the last piece in it. */
  join(size: number, last: Buffer): Buffer {
    if (size < LEAST_JOIN) return this.#small.room(size);
    const buffer = this.#joins.take();
    this.#lastOf.set(buffer.buffer, last);
    return buffer.subarray(0, size);
  }

  /** Reports that pieces and joins that came before these bytes are no longer used. */
  reached(bytes: Buffer): void {
    const last = this.#lastOf.get(bytes.buffer) ?? bytes;
    for (const pool of this.#pieces) pool.releaseBefore(last);
    this.#joins.releaseBefore(bytes);
    this.#smallJoins.releaseBefore(bytes);
  }

  /** Call it when everything has come: drops the buffers. */
  clear(): void {
    for (const pool of this.#pieces) pool.clear();
    this.#joins.clear();
    this.#smallJoins.clear();
  }
}
