/** What a buffer takes besides its bytes, about. */
export const BUFFER_SIZE = 0x100;

/**
 * Buffers by number, those used last: what was not used for longest goes when they take more memory
 * than `limit`. One that takes more than that is not kept.
 */
export class ByteCache {
  readonly limit: number;
  #size = 0;
  #buffers = new Map<number, Buffer>(); // in the order of their use

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes held, with those that each buffer takes besides. */
  get size(): number {
    return this.#size;
  }

  get(key: number): Buffer | undefined {
    const found = this.#buffers.get(key);
    if (!found) return undefined;
    this.#buffers.delete(key);
    this.#buffers.set(key, found);
    return found;
  }

  /** @param bytes memory of its own: a view would keep alive what it is a view of */
  set(key: number, bytes: Buffer): void {
    this.#remove(key);
    if (bytes.length + BUFFER_SIZE > this.limit) return;
    this.#buffers.set(key, bytes);
    this.#size += bytes.length + BUFFER_SIZE;
    for (const oldest of this.#buffers.keys()) {
      if (this.#size <= this.limit) break;
      this.#remove(oldest);
    }
  }

  clear(): void {
    this.#buffers.clear();
    this.#size = 0;
  }

  #remove(key: number): void {
    const found = this.#buffers.get(key);
    if (!found) return;
    this.#buffers.delete(key);
    this.#size -= found.length + BUFFER_SIZE;
  }
}
