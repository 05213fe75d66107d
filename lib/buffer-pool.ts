/**
 * Buffers that are used over and over, for bytes that flow. One stage takes them, in the order of
 * the stream, and a later one says how far it is: what was taken before that is free again. What
 * flows then takes the same few buffers however long the stream is, and leaves nothing to collect.
 *
 * Only for a pipeline in which nothing keeps bytes that have passed the stage that says so.
 */
import { allocate } from './allocate.js';

/** Bytes that a pool keeps track of, where two buffers are not more. */
const HELD = 0x1000000;
/** Joins of fewer bytes share buffers. */
const LEAST_JOIN = 0x10000;
/** Bytes of a buffer that they share. */
const SHARED_JOINS = 0x40000;

export class BufferPool {
  /** bytes of every buffer */
  readonly size: number;
  readonly #free: Buffer[] = [];
  /** in the order in which they were taken */
  readonly #taken: Buffer[] = [];
  readonly #most: number;

  constructor(size: number) {
    this.size = size;
    this.#most = Math.max(2, Math.floor(HELD / size));
  }

  /** A buffer of `size` bytes, with whatever is in them. */
  take(): Buffer {
    const buffer = this.#free.pop() ?? allocate(this.size);
    this.#taken.push(buffer);
    // nobody has said anything for long: it is left to whoever looks at it
    if (this.#taken.length > this.#most) this.#taken.shift();
    return buffer;
  }

  /**
   * Nothing will look any more at what was taken before the buffer that `bytes` are a view of. Does
   * nothing for a view of something else.
   */
  reached(bytes: Buffer): void {
    const taken = this.#taken;
    if (taken.length < 2 || taken[0]!.buffer === bytes.buffer) return;
    const at = taken.findIndex(buffer => buffer.buffer === bytes.buffer);
    if (at > 0) this.#free.push(...taken.splice(0, at));
  }

  /** Whether these bytes are a view of a buffer that is taken. */
  has(bytes: Buffer): boolean {
    return this.#taken.some(buffer => buffer.buffer === bytes.buffer);
  }

  /** No more will be taken: lets go of the buffers, which are left to whoever looks at them. */
  clear(): void {
    this.#free.length = this.#taken.length = 0;
  }
}

/**
 * Copies of bytes in the buffers of a pool, one behind another: a buffer is taken when what comes
 * next does not fit the one before it.
 */
export class PooledCopies {
  readonly #pool: BufferPool;
  #buffer: Buffer | undefined;
  #used = 0;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Memory for copies in whatever order: `size` bytes of one buffer, no more than it has. */
  room(size: number): Buffer {
    if (size > this.#pool.size) throw new RangeError(`${size} bytes are over ${this.#pool.size}`);
    if (!this.#buffer || this.#used + size > this.#buffer.length) {
      this.#buffer = this.#pool.take();
      this.#used = 0;
    }
    this.#used += size;
    return this.#buffer.subarray(this.#used - size, this.#used);
  }

  /** A copy of bytes that are no more than a buffer of the pool. */
  copyOf(bytes: Buffer): Buffer {
    const copy = this.room(bytes.length);
    bytes.copy(copy);
    return copy;
  }
}

/**
 * The bytes of a source on their way to where they are copied for the last time: pieces as they
 * come, and joins of those that belong together.
 */
export class Flow {
  readonly #pieces: readonly BufferPool[];
  readonly #joins: BufferPool;
  readonly #smallJoins = new BufferPool(SHARED_JOINS);
  readonly #small = new PooledCopies(this.#smallJoins);
  /** the last piece that is in a join, by the memory of a join that has its own */
  readonly #lastOf = new WeakMap<ArrayBufferLike, Buffer>();

  /**
   * @param pieces what pieces are from: each of the pools in the order of the stream
   * @param joinSize bytes of the largest join
   */
  constructor(pieces: readonly BufferPool[], joinSize: number) {
    this.#pieces = pieces;
    this.#joins = new BufferPool(joinSize);
  }

  /** A buffer of `size` bytes for a join, whose last bytes are those of `last`. */
  join(size: number, last: Buffer): Buffer {
    if (size < LEAST_JOIN) return this.#small.room(size);
    const buffer = this.#joins.take();
    this.#lastOf.set(buffer.buffer, last);
    return buffer.subarray(0, size);
  }

  /** What came before these bytes, pieces and joins, is of no use any more. */
  reached(bytes: Buffer): void {
    const last = this.#lastOf.get(bytes.buffer) ?? bytes;
    for (const pool of this.#pieces) pool.reached(last);
    this.#joins.reached(bytes);
    this.#smallJoins.reached(bytes);
  }

  /** All has come: lets go of the buffers. */
  clear(): void {
    for (const pool of this.#pieces) pool.clear();
    this.#joins.clear();
    this.#smallJoins.clear();
  }
}
