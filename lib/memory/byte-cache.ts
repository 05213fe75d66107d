/** About how many bytes a buffer takes besides its content. */
export const BUFFER_SIZE = 0x100;

/**
 * The buffers used last, by number. When they take more memory than `limit`, those not used for
 * longest are dropped; a buffer that alone takes more is not kept.
 */
export class ByteCache {
  readonly limit: number;
  #size = 0;
  #buffers = new Map<number, Buffer>(); // the most recently used last

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes held, including BUFFER_SIZE for each buffer. */
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

  /** @param bytes should have their own memory: a view keeps all memory of its buffer alive */
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
