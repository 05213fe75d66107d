/** Worker threads that compress slabs of shared memory, started when the first slab is full. */
import { Worker } from 'node:worker_threads';
import type { Compressor } from '../lib/compress.js';
import type { Packed } from './compressor.js';

export interface PoolOptions {
  compressor: Compressor;
  workers: number;
  slabs: number;
  slabSize: number;
}

/** What a worker is told: which slab, and the sizes of the chunks in it. */
export interface Job {
  slab: SharedArrayBuffer;
  sizes: readonly number[];
}

/** What it answers: stored sizes, 0 for a chunk that does not shrink, and the stored bytes. */
export interface Answer {
  sizes: readonly number[];
  bytes: ArrayBuffer;
}

interface Waiting {
  plain: Buffer;
  resolve(packed: Packed): void;
  reject(error: Error): void;
}

export class CompressorPool {
  readonly slabSize: number;
  readonly #options: PoolOptions;
  readonly #slabs: SharedArrayBuffer[] = [];
  readonly #free: number[] = [];
  readonly #workers: { worker: Worker; jobs: Waiting[] }[] = [];
  #failure: Error | undefined;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.slabSize = options.slabSize;
  }

  /** Whether there are threads yet. */
  get started(): boolean {
    return this.#workers.length > 0;
  }

  get freeSlabs(): number {
    return this.#free.length + this.#options.slabs - this.#slabs.length;
  }

  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    this.#slabs.push(new SharedArrayBuffer(this.slabSize));
    return this.#slabs.length - 1;
  }

  free(slab: number): void {
    this.#free.push(slab);
  }

  bytes(slab: number): Buffer {
    return Buffer.from(this.#slabs[slab]!);
  }

  /** Compresses the chunks at the start of a slab. */
  compress(slab: number, sizes: readonly number[]): Promise<Packed> {
    if (!this.started) this.#start();
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      const idlest = this.#workers.reduce((a, b) => (b.jobs.length < a.jobs.length ? b : a));
      idlest.jobs.push({ plain: this.bytes(slab), resolve, reject });
      idlest.worker.postMessage({ slab: this.#slabs[slab]!, sizes } satisfies Job);
    });
  }

  close(): void {
    this.#closed = true;
    for (const { worker } of this.#workers) void worker.terminate();
  }

  #start(): void {
    for (let i = 0; i < this.#options.workers; i++) {
      const worker = new Worker(new URL('./compressor-worker.js', import.meta.url), {
        workerData: this.#options.compressor,
      });
      const jobs: Waiting[] = [];
      worker.on('message', ({ sizes, bytes }: Answer) => {
        const job = jobs.shift()!;
        job.resolve({ sizes, bytes: Buffer.from(bytes), plain: job.plain });
      });
      worker.on('error', error => this.#fail(error));
      worker.on('exit', code => {
        if (!this.#closed) this.#fail(new Error(`compressor thread ended with ${code}`));
      });
      this.#workers.push({ worker, jobs });
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { jobs } of this.#workers) {
      for (const job of jobs.splice(0)) job.reject(this.#failure);
    }
  }
}
