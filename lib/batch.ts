/**
 * Which chunks go into a batch: the rules by which small files are stored together, compressed as
 * one. A file of a single chunk, smaller than half a batch, joins the batch under way; what does not
 * fit ends that batch and begins the next.
 */
import { copyOf } from './allocate.js';

/** Where a chunk lies: which batch of the blob, and where its bytes start in it. */
export interface BatchPlace {
  context: number;
  offset: number;
}

/** The batch under way. Holds `batchSize` bytes. */
export class BatchBuffer {
  readonly #bytes: Buffer;
  readonly #least: number;
  #used = 0;
  #context = 0;

  /**
   * @param batchSize a batch has fewer bytes than this
   * @param least a batch does not begin with fewer bytes than this: such a chunk is stored alone
   */
  constructor(batchSize: number, least = 0) {
    this.#bytes = Buffer.allocUnsafeSlow(batchSize);
    this.#least = least;
  }

  /** Whether a chunk joins a batch: this one, or where that has no room the next. */
  takes(size: number, isWholeFile: boolean): boolean {
    const isSmall = size < Math.floor(this.#bytes.length / 2);
    return isWholeFile && isSmall && (this.hasRoom(size) || size >= this.#least);
  }

  /** Whether the chunk goes into the batch under way, if it joins a batch at all. */
  hasRoom(size: number): boolean {
    return this.#used > 0 && this.#used + size < this.#bytes.length;
  }

  /** Copies a chunk that the batch takes. */
  add(bytes: Buffer): BatchPlace {
    const place = { context: this.#context, offset: this.#used };
    this.#used += bytes.copy(this.#bytes, this.#used);
    return place;
  }

  /** Ends the batch: its bytes, or undefined where it has none. */
  take(): Buffer | undefined {
    if (this.#used === 0) return undefined;
    const bytes = copyOf(this.#bytes.subarray(0, this.#used));
    this.#used = 0;
    this.#context++;
    return bytes;
  }
}
