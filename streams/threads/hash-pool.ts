/**
 * Threads that compute sha256 digests of slabs. The number of slabs is fixed: this bounds memory,
 * and a caller that fills slabs waits for a free one. Slabs are shared with the threads, and each
 * thread is sent a slab only once: transferring one back and forth takes as long as hashing some
 * hundred kilobytes.
 */
import type { Worker } from 'node:worker_threads';
import { startThread } from './threads.js';

/** A job for a thread; without an id, to return the digest of the long run. */
export interface HashJob {
  /** of a slab */
  id?: number;
  /** only the first time that this thread gets it */
  slab?: SharedArrayBuffer;
  /** bytes in the slab */
  size: number;
  /** make a digest for each block of this many bytes; without it, they go into the long run */
  blockSize?: number;
  /** or make hashes of chunks of these sizes, as `hashChunks` does */
  chunkSizes?: readonly number[];
}

/** Concatenated digests of the blocks or chunks, or the digest of the long run at its end. */
export interface HashAnswer {
  digests: Uint8Array<ArrayBuffer> | undefined;
}

export interface HashPoolOptions {
  threads: number;
  slabs: number;
  slabSize: number;
}

interface Waiting {
  /** freed when the job is done */
  slab: SharedArrayBuffer | undefined;
  resolve(digests: Uint8Array): void;
  reject(error: Error): void;
}

const NO_DIGESTS = new Uint8Array(0);

export class HashPool {
  readonly slabSize: number;
  readonly #options: HashPoolOptions;
  readonly #threads: { worker: Worker; jobs: Waiting[]; slabs: Set<number> }[] = [];
  readonly #free: SharedArrayBuffer[] = [];
  readonly #made: SharedArrayBuffer[] = [];
  #wake: (() => void) | undefined;
  #failure: Error | undefined;
  #closed = false;

  constructor(options: HashPoolOptions) {
    this.#options = options;
    this.slabSize = options.slabSize;
  }

  /** Whether the threads have been started. */
  get started(): boolean {
    return this.#threads.length > 0;
  }

  /** A slab to fill, once one is free. One call at a time. Once sent, it belongs to the thread. */
  take(): Buffer | Promise<Buffer> {
    const free = this.#free.pop();
    if (free) return Buffer.from(free);
    if (this.#made.length < this.#options.slabs) {
      const slab = new SharedArrayBuffer(this.slabSize);
      this.#made.push(slab);
      return Buffer.from(slab);
    }
    return this.#waitForSlab();
  }

  async #waitForSlab(): Promise<Buffer> {
    while (this.#free.length === 0) {
      if (this.#failure) throw this.#failure;
      await new Promise<void>(resolve => (this.#wake = resolve));
    }
    return Buffer.from(this.#free.pop()!);
  }

  /** Adds a slab to the long run, which is hashed in one thread, and frees it. */
  update(slab: Buffer, size: number): void {
    this.#send(slab, { size }).catch(() => undefined); // reported by the next call
  }

  /** The digest of the long run. */
  digest(): Promise<Uint8Array> {
    return this.#send(undefined, { size: 0 });
  }

  /** The concatenated digests of all blocks of a slab; frees it. */
  blocks(slab: Buffer, size: number, blockSize: number): Promise<Uint8Array> {
    return this.#send(slab, { size, blockSize });
  }

  /** The hashes of the chunks at the start of a slab; frees it. */
  chunks(slab: Buffer, chunkSizes: readonly number[]): Promise<Uint8Array> {
    const size = chunkSizes.reduce((sum, chunkSize) => sum + chunkSize, 0);
    return this.#send(slab, { size, chunkSizes });
  }

  /** Ends the threads; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #send(bytes: Buffer | undefined, job: HashJob): Promise<Uint8Array> {
    if (!this.started) for (let i = 0; i < this.#options.threads; i++) this.#start();
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      const slab = bytes?.buffer as SharedArrayBuffer | undefined; // as take() made it
      const { worker, jobs, slabs } = this.#threads.reduce((a, b) =>
        b.jobs.length < a.jobs.length ? b : a,
      );
      jobs.push({ slab, resolve, reject });
      if (!slab) {
        worker.postMessage(job);
        return;
      }
      const id = this.#made.indexOf(slab);
      worker.postMessage({ ...job, id, ...(slabs.has(id) ? {} : { slab }) } satisfies HashJob);
      slabs.add(id);
    });
  }

  #start(): void {
    const worker = startThread('hash-worker');
    const jobs: Waiting[] = [];
    worker.on('message', ({ digests }: HashAnswer) => {
      const job = jobs.shift();
      if (!job) return; // after a failure nobody waits any more
      if (job.slab) this.#free.push(job.slab);
      this.#wake?.();
      job.resolve(digests ?? NO_DIGESTS);
    });
    worker.on('error', error => this.#fail(error));
    worker.on('exit', code => {
      if (!this.#closed) this.#fail(new Error(`hash thread ended with ${code}`));
    });
    this.#threads.push({ worker, jobs, slabs: new Set() });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { jobs } of this.#threads) {
      for (const job of jobs.splice(0)) job.reject(this.#failure);
    }
    this.#wake?.();
  }
}
