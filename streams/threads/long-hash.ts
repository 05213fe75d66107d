/**
 * The sha256 of any number of bytes as they pass: computed in a thread, or in this one if they are
 * so few that starting a thread would take longer.
 */
import { createHash } from 'node:crypto';
import { copyShared } from '../../lib/memory/byte-queue.js';
import { SLAB_SIZE } from './slab-stock.js';
import { SlabQueue } from './slab-queue.js';
import type { Slab, ThreadPool } from './thread-pool.js';

export interface LongHashOptions {
  /** most slabs to hold; half of them are filled before a thread is asked for */
  slabs: number;
  /** default: that of the process */
  pool?: ThreadPool;
}

interface Filled {
  readonly slab: Slab;
  /** its memory, and how much of it is used */
  readonly bytes: Buffer;
  used: number;
}

export class LongHash {
  readonly #queue: SlabQueue<undefined, 'hash-run'>;
  readonly #patience: number;
  /** full slabs that have not been sent */
  readonly #waiting: Filled[] = [];
  #current: Filled | undefined;
  #size = 0;
  /** of what was sent */
  #digest: Uint8Array | undefined;

  constructor({ slabs, ...rest }: LongHashOptions) {
    this.#patience = Math.floor(slabs / 2);
    const task = { kind: 'hash-run' } as const;
    this.#queue = new SlabQueue({ task, workers: 1, most: slabs, isRun: true, ...rest });
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Whether a thread computes it. */
  get isBound(): boolean {
    return this.#queue.isBound;
  }

  /** Copies the bytes once there is room; then they are the caller's again. One call at a time. */
  async add(bytes: Buffer): Promise<void> {
    this.#size += bytes.length;
    for (let at = 0; at < bytes.length;) {
      this.#current ??= await this.#take();
      const current = this.#current;
      const count = Math.min(SLAB_SIZE - current.used, bytes.length - at);
      copyShared(current.bytes, current.used, bytes.subarray(at, at + count));
      current.used += count;
      at += count;
      if (current.used < SLAB_SIZE) continue;
      this.#waiting.push(current);
      this.#current = undefined;
      if (this.isBound || this.#waiting.length >= this.#patience) this.#send();
    }
  }

  /** The digest of all bytes, in hex; may be called once. */
  async digest(): Promise<string> {
    if (this.#current) this.#waiting.push(this.#current);
    if (!this.isBound) return this.#digestHere();
    this.#send();
    while (this.#queue.length > 0) await this.#receive();
    return Buffer.from(this.#digest!).toString('hex'); // a thread has had something
  }

  /** Ends it, complete or not: resolves when nothing is being computed any more. */
  close(): Promise<void> {
    return this.#queue.close();
  }

  #digestHere(): string {
    const hash = createHash('sha256');
    for (const { bytes, used } of this.#waiting) hash.update(bytes.subarray(0, used));
    return hash.digest('hex');
  }

  async #take(): Promise<Filled> {
    for (;;) {
      const slab = this.#queue.take();
      if (slab) return { slab, bytes: Buffer.from(slab.plain), used: 0 };
      this.#send();
      await this.#receive();
    }
  }

  #send(): void {
    this.#queue.bind();
    for (const { slab, used } of this.#waiting.splice(0)) {
      this.#queue.send(undefined, slab, [used]);
    }
  }

  async #receive(): Promise<void> {
    const { slab, made } = await this.#queue.next();
    this.#queue.free(slab);
    this.#digest = made;
  }
}
