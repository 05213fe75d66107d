/**
 * Which digests have been seen, for threads that cannot wait for the exact answer: a table of fixed
 * size in shared memory. It forgets digests, and may take one for another (one time in four
 * billion), so its answer may save work but decides nothing.
 *
 * One thread adds digests while others look them up. Each digest is a single number, so it is there
 * or it is not.
 */
import { hashOfDigest } from './digest-index.js';

const LEAST_SLOTS = 0x10000;

export class DigestFilter {
  /** to be handed to threads */
  readonly memory: SharedArrayBuffer;
  readonly #slots: Uint32Array;

  /** @param count how many digests to make room for; it will hold most of them */
  static for(count: number): DigestFilter {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(LEAST_SLOTS, 2 * count)));
    return new DigestFilter(new SharedArrayBuffer(slots * 4));
  }

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#slots = new Uint32Array(memory);
  }

  /** Adds a digest, replacing another if need be. */
  add(digest: Uint8Array): void {
    this.#slots[this.#slotOf(digest)] = tagOf(digest);
  }

  /** Whether the digest was added: almost certain if true, but false may mean forgotten. */
  mayHave(digest: Uint8Array): boolean {
    return this.#slots[this.#slotOf(digest)] === tagOf(digest);
  }

  #slotOf(digest: Uint8Array): number {
    return hashOfDigest(digest) & (this.#slots.length - 1);
  }
}

/** Four bytes of the digest that do not choose the slot; never 0, which marks a free slot. */
const tagOf = (digest: Uint8Array): number =>
  (digest[4]! | (digest[5]! << 8) | (digest[6]! << 16) | (digest[7]! << 24)) >>> 0 || 1;
