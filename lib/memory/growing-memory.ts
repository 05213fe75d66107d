/** Bytes that are collected and then needed in one run. */
import { RafsError } from '../errors.js';

// Node has WebAssembly, but only the types for browsers declare it
declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum: number }) => {
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  };
};

const PAGE_SIZE = 0x10000;
const MOST_PAGES = 0x10000;
const STEP = 0x40;

/**
 * Bytes appended one after another, up to 4 GiB, in memory that grows in place. A buffer would have
 * to be copied to a larger one, which for a moment takes twice the memory.
 */
export class GrowingMemory {
  #memory = new WebAssembly.Memory({ initial: 0, maximum: MOST_PAGES });
  #bytes = Buffer.from(this.#memory.buffer);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#size);
    this.#size += bytes.length;
  }

  /** A view, valid until the next addition. */
  view(at: number, size: number): Buffer {
    return this.#bytes.subarray(at, at + size);
  }

  /** Inserts `head` before everything; returns a view of it all, valid until the next addition. */
  behind(head: Uint8Array): Buffer {
    this.#reserve(head.length);
    this.#bytes.copyWithin(head.length, 0, this.#size);
    this.#bytes.set(head);
    this.#size += head.length;
    return this.#bytes.subarray(0, this.#size);
  }

  #reserve(count: number): void {
    const missing = Math.ceil((this.#size + count - this.#bytes.length) / PAGE_SIZE);
    if (missing <= 0) return;
    const pages = this.#bytes.length / PAGE_SIZE;
    if (pages + missing > MOST_PAGES) {
      throw new RafsError('LIMIT', `cannot hold more than ${MOST_PAGES * PAGE_SIZE} bytes at once`);
    }
    this.#memory.grow(Math.min(Math.max(missing, STEP), MOST_PAGES - pages));
    this.#bytes = Buffer.from(this.#memory.buffer);
  }
}
