/** Parts flow between stages in batches. */

/** What a stream between stages carries. */
export type Batch<Part> = readonly Part[];

/** A batch is passed on when it has this many parts, or this many bytes. */
export const BATCH_PARTS = 128;
export const BATCH_BYTES = 0x40000;

/** The same for sources, which make batches of large files or chunks. */
const SOURCE_BYTES = 0x80000;

/** Gathers parts into batches, for sources. */
export class BatchBuilder<Part> {
  #parts: Part[] = [];
  #bytes = 0;

  /** Adds a part; `size` is how many bytes it holds. */
  add(part: Part, size = 0): void {
    this.#parts.push(part);
    this.#bytes += size;
  }

  /** Whether there is enough to pass on. */
  get isFull(): boolean {
    return this.#parts.length >= BATCH_PARTS || this.#bytes >= SOURCE_BYTES;
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  /** The batch; the next one begins. */
  take(): Batch<Part> {
    const batch = this.#parts;
    this.#parts = [];
    this.#bytes = 0;
    return batch;
  }
}

export const weight = (part: unknown): number => (part as { bytes?: Buffer }).bytes?.length ?? 0;
