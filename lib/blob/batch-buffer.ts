/**
 * Which chunks go into a batch: the rules by which small files are stored together, compressed as
 * one unit. A file of a single chunk, smaller than half a batch, joins the current batch; one that
 * does not fit ends that batch and begins the next.
 */
import { copyOf } from '../memory/allocate.js';
import type { BufferPool } from '../memory/buffer-pool.js';

/** Where a chunk lies: in which batch of the blob, and at which offset in it. */
export interface BatchPlace {
  context: number;
  offset: number;
}

/** The current batch. Holds `batchSize` bytes. */
export class ChunkBatchBuffer {
  readonly #pool: BufferPool | undefined;
  readonly #size: number;
  readonly #least: number;
  #bytes: Buffer | undefined;
  #used = 0;
  #context = 0;

  /**
   * @param batchSize a batch has fewer bytes than this
   * @param least no batch begins with a chunk of fewer bytes: such a chunk is stored alone
   * @param pool of buffers of `batchSize` to make batches in; without it, each batch is copied
   */
  constructor(batchSize: number, least = 0, pool?: BufferPool) {
    this.#size = batchSize;
    this.#least = least;
    this.#pool = pool;
  }

  /** Whether a chunk joins a batch: this one or, if it has no room, the next. */
  takes(size: number, isWholeFile: boolean): boolean {
    const isSmall = size < Math.floor(this.#size / 2);
    return isWholeFile && isSmall && (this.hasRoom(size) || size >= this.#least);
  }

  /** Whether a chunk goes into the current batch, provided that it joins a batch at all. */
  hasRoom(size: number): boolean {
    return this.#used > 0 && this.#used + size < this.#size;
  }

  /** Copies a chunk into the batch; returns its place. */
  add(bytes: Buffer): BatchPlace {
    const place = { context: this.#context, offset: this.#used };
    this.#bytes ??= this.#pool?.take() ?? Buffer.allocUnsafeSlow(this.#size);
    this.#used += bytes.copy(this.#bytes, this.#used);
    return place;
  }

  /** Ends the batch; returns its bytes, or undefined if it has none. */
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
