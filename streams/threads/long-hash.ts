/**
 * The sha256 of any number of bytes as they pass: computed in the thread of a pool, or in this
 * thread if they fit one of its slabs and it has started no thread.
 */
import { copyShared } from '../../lib/memory/byte-queue.js';
import { sha256 } from '../../lib/crypto/digest.js';
import type { HashPool } from './hash-pool.js';

/** Most bytes of a slab to use: filling a large one would keep the thread waiting for long. */
const MOST_USED = 0x100000;

export class LongHash {
  readonly #pool: HashPool;
  readonly #room: number;
  #slab: Buffer | undefined;
  #used = 0;
  #size = 0;

  /** @param pool with one thread and no other long run; `add` and its `take` must not overlap */
  constructor(pool: HashPool) {
    this.#pool = pool;
    this.#room = Math.min(MOST_USED, pool.slabSize);
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Copies the bytes once there is room; then they are the caller's again. One call at a time. */
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

  /** The digest of all bytes, in hex; may be called once. */
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
