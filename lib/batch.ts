/**
 * Which chunks go into a batch: the rules by which small files are stored together, compressed as
 * one. A file of a single chunk, smaller than half a batch, joins the batch under way; what does not
 * fit ends that batch and begins the next.
 */
import { copyOf } from './allocate.js';
import type { BufferPool } from './buffer-pool.js';

/** Where a chunk lies: which batch of the blob, and where its bytes start in it. */
export interface BatchPlace {
  context: number;
  offset: number;
}

/** The batch under way. Holds `batchSize` bytes. */
export class BatchBuffer {
  readonly #pool: BufferPool | undefined;
  readonly #size: number;
  readonly #least: number;
  #bytes: Buffer | undefined;
  #used = 0;
  #context = 0;

  /**
   * @param batchSize a batch has fewer bytes than this
   * @param least a batch does not begin with fewer bytes than this: such a chunk is stored alone
   * @param pool of buffers of `batchSize` that batches are made in; without one each is copied
   */
  constructor(batchSize: number, least = 0, pool?: BufferPool) {
    this.#size = batchSize;
    this.#least = least;
    this.#pool = pool;
  }

  /** Whether a chunk joins a batch: this one, or where that has no room the next. */
  takes(size: number, isWholeFile: boolean): boolean {
    const isSmall = size < Math.floor(this.#size / 2);
    return isWholeFile && isSmall && (this.hasRoom(size) || size >= this.#least);
  }

  /** Whether the chunk goes into the batch under way, if it joins a batch at all. */
  hasRoom(size: number): boolean {
    return this.#used > 0 && this.#used + size < this.#size;
  }

  /** Copies a chunk that the batch takes. */
  add(bytes: Buffer): BatchPlace {
    const place = { context: this.#context, offset: this.#used };
    this.#bytes ??= this.#pool?.take() ?? Buffer.allocUnsafeSlow(this.#size);
    this.#used += bytes.copy(this.#bytes, this.#used);
    return place;
  }

  /** Ends the batch: its bytes, or undefined where it has none. */
  take(): Buffer | undefined {
    if (!this.#bytes || this.#used === 0) return undefined;
    const view = this.#bytes.subarray(0, this.#used);
    const bytes = this.#pool ? view : copyOf(view);
    if (this.#pool) this.#bytes = undefined;
    this.#used = 0;
    this.#context++;
    return bytes;
  }
}
