/**
 * The sha256 of bytes that pass, however many: made in the thread of a pool, or here where they fit
 * one of its slabs and it has started no thread.
 */
import { copyShared } from '../lib/bytes.js';
import { sha256 } from '../lib/digest.js';
import type { HashPool } from './hash-pool.js';

/** Bytes of a slab that are used at most: a large one would keep the thread waiting for long. */
const MOST_USED = 0x100000;

export class LongHash {
  readonly #pool: HashPool;
  readonly #room: number;
  #slab: Buffer | undefined;
  #used = 0;
  #size = 0;

  /** @param pool of one thread, which makes no other long run; `add` and `take` are not to overlap */
  constructor(pool: HashPool) {
    this.#pool = pool;
    this.#room = Math.min(MOST_USED, pool.slabSize);
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Copies the bytes, when there is room for them; they are the caller's again. One call at a time. */
  async add(bytes: Buffer): Promise<void> {
    this.#size += bytes.length;
    for (let at = 0; at < bytes.length;) {
      if (this.#slab && this.#used === this.#room) this.#send(this.#slab);
      this.#slab ??= await this.#pool.take();
      const count = Math.min(this.#room - this.#used, bytes.length - at);
      copyShared(this.#slab, this.#used, bytes.subarray(at, at + count));
      this.#used += count;
      at += count;
    }
  }

  /** The digest of all, in hex; to be called once. */
  async digest(): Promise<string> {
    if (!this.#pool.started) {
      return sha256(this.#slab?.subarray(0, this.#used) ?? Buffer.alloc(0)).toString('hex');
    }
    if (this.#slab) this.#send(this.#slab);
    return Buffer.from(await this.#pool.digest()).toString('hex');
  }

  #send(slab: Buffer): void {
    this.#pool.update(slab, this.#used);
    this.#slab = undefined;
    this.#used = 0;
  }
}
