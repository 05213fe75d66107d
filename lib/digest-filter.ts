/**
 * Which digests were seen, for threads that ask before whoever knows could answer: a table of a
 * fixed size in shared memory. It forgets, and it may take one digest for another (one time in four
 * thousand million), so its answer saves work and decides nothing.
 *
 * One thread adds, and others ask at the same time: each digest is one number, so that it is there
 * or it is not.
 */
import { hashOfDigest } from './digest-index.js';

const LEAST_SLOTS = 0x10000;

export class DigestFilter {
  /** to be handed to threads */
  readonly memory: SharedArrayBuffer;
  readonly #slots: Uint32Array;

  /** @param count of digests that are to be held at least, for most of them */
  static for(count: number): DigestFilter {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(LEAST_SLOTS, 2 * count)));
    return new DigestFilter(new SharedArrayBuffer(slots * 4));
  }

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#slots = new Uint32Array(memory);
  }

  /** Adds a digest, in the place of another if need be. */
  add(digest: Uint8Array): void {
    this.#slots[this.#slotOf(digest)] = tagOf(digest);
  }

  /** Whether the digest was added: most likely, when true. */
  mayHave(digest: Uint8Array): boolean {
    return this.#slots[this.#slotOf(digest)] === tagOf(digest);
  }

  #slotOf(digest: Uint8Array): number {
    return hashOfDigest(digest) & (this.#slots.length - 1);
  }
}

/** Four bytes of the digest that do not choose the slot; never 0, which is a slot that is free. */
const tagOf = (digest: Uint8Array): number =>
  (digest[4]! | (digest[5]! << 8) | (digest[6]! << 16) | (digest[7]! << 24)) >>> 0 || 1;
