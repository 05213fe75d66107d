/**
 * Worker threads that compress slabs of shared memory, started when there is work for them. While
 * they have enough, slabs are compressed in this thread, which fills them and would otherwise have
 * to wait; one more thread than there are processors would take time and cache from the others.
 */
import type { Worker } from 'node:worker_threads';
import { compressBound } from '../../lib/compress/compressors.js';
import type { Digester } from '../../lib/crypto/digest.js';
import {
  compressRun,
  type CompressedRun,
  type CompressRunOptions,
  type RunMemory,
} from '../../lib/chunk/compress-run.js';
import { hasThreadAhead, startThread } from './threads.js';

export interface PoolOptions extends CompressRunOptions {
  /** number of threads; 0: everything is packed in this one */
  workers: number;
  slabSize: number;
}

/** Memory for a run of chunks: for their bytes, and for their compressed form. */
export interface Slab extends RunMemory {
  readonly id: number;
}

/** A slab on its way to be packed. */
export interface Packing {
  readonly done: Promise<CompressedRun>;
  readonly isReady: boolean;
}

/** The first message to a thread: what to do with slabs; `seen` is the memory of the filter. */
export interface Task {
  readonly compressor: PoolOptions['compressor'];
  /** an Int32: how many jobs it has done, even if their answers have not been received yet */
  readonly done: SharedArrayBuffer;
  readonly hashing?: { readonly digester: Digester; readonly seen: SharedArrayBuffer };
}

/** All others: a slab, and the sizes of the chunks in it. The thread answers with a PackedRun. */
export interface Job {
  readonly id: number;
  /** only the first time that this thread gets it: handing over shared memory is expensive */
  readonly slab?: Slab;
  readonly sizes: readonly number[];
}

/** Threads have enough with this many slabs besides those in progress, or this many bytes. */
const STOCK = 3;
const STOCK_SIZE = 0x800000;

interface Thread {
  readonly worker: Worker;
  /** it has compressed something, so it will not get faster */
  warm: boolean;
  readonly jobs: Waiting[];
  /** how many jobs it was given */
  given: number;
  readonly done: Int32Array<SharedArrayBuffer>;
  /** ids of the slabs that it has */
  readonly slabs: Set<number>;
}

interface Waiting {
  resolve(packed: CompressedRun): void;
  reject(error: Error): void;
}

export class CompressorPool {
  readonly slabSize: number;
  readonly #stock: number;
  readonly #slabs: number;
  readonly #options: PoolOptions;
  readonly #free: Slab[] = [];
  #made = 0;
  readonly #workers: Thread[] = [];
  #failure: Error | undefined;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.slabSize = options.slabSize;
    this.#stock = Math.max(1, Math.min(STOCK, Math.floor(STOCK_SIZE / options.slabSize)));
    // one per thread, those in stock, and as many that are packed here, wait or are being filled
    this.#slabs = options.workers === 0 ? 1 : options.workers + 2 * this.#stock;
  }

  /** Whether there are threads yet. */
  get started(): boolean {
    return this.#workers.length > 0;
  }

  get freeSlabs(): number {
    return this.#free.length + this.#slabs - this.#made;
  }

  take(): Slab {
    const free = this.#free.pop();
    if (free) return free;
    return {
      id: this.#made++,
      plain: new SharedArrayBuffer(this.slabSize),
      packed: new SharedArrayBuffer(compressBound(this.slabSize)),
    };
  }

  free(slab: Slab): void {
    this.#free.push(slab);
  }

  /** Packs the chunks at the start of a slab with `packRun`, which must be ready here, too. */
  pack(slab: Slab, sizes: readonly number[]): Packing {
    while (this.#isShort()) this.#start();
    if (!this.#failure && this.#haveEnough()) return this.#packHere(slab, sizes);
    const packing = { done: this.#packElsewhere(slab, sizes), isReady: false };
    const settled = (): void => void (packing.isReady = true);
    packing.done.then(settled, settled); // a failure is reported to whoever awaits it
    return packing;
  }

  /** The same for the last slab, which is not worth starting a first thread for. */
  packLast(slab: Slab, sizes: readonly number[]): Packing {
    return this.started ? this.pack(slab, sizes) : this.#packHere(slab, sizes);
  }

  #packHere(slab: Slab, sizes: readonly number[]): Packing {
    return { done: Promise.resolve(compressRun(slab, sizes, this.#options)), isReady: true };
  }

  #packElsewhere(slab: Slab, sizes: readonly number[]): Promise<CompressedRun> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      const idlest = this.#workers.reduce((a, b) => (left(b) < left(a) ? b : a));
      idlest.jobs.push({ resolve, reject });
      idlest.given++;
      const { id } = slab;
      const job: Job = idlest.slabs.has(id) ? { id, sizes } : { id, slab, sizes };
      idlest.slabs.add(id);
      idlest.worker.postMessage(job);
    });
  }

  /** Ends the threads and releases the slabs. */
  close(): void {
    this.#closed = true;
    for (const { worker } of this.#workers) void worker.terminate();
    this.#free.length = 0;
  }

  /**
   * Whether threads have slabs to pack while one is packed here and the next one is filled; each of
   * these takes about as long as packing a slab in a thread.
   */
  #haveEnough(): boolean {
    const jobs = this.#workers.reduce((sum, thread) => sum + left(thread), 0);
    const { workers } = this.#options;
    return workers === 0 || jobs >= this.#workers.length + this.#stock;
  }

  /**
   * Whether another thread would be of use. Starting one costs as much as compressing several
   * megabytes, unless it was started ahead.
   */
  #isShort(): boolean {
    if (this.#workers.length === this.#options.workers) return false;
    if (!this.started || hasThreadAhead('compressor-worker')) return true;
    return this.#workers.every(({ warm }) => warm) && this.#haveEnough();
  }

  #start(): void {
    const worker = startThread('compressor-worker');
    const done = new Int32Array(new SharedArrayBuffer(4));
    const thread: Thread = { worker, warm: false, jobs: [], given: 0, done, slabs: new Set() };
    worker.postMessage(taskOf(this.#options, done.buffer));
    worker.on('message', (packed: CompressedRun) => {
      thread.warm = true;
      thread.jobs.shift()?.resolve(packed); // after a failure nobody waits any more
    });
    worker.on('error', error => this.#fail(error));
    worker.on('exit', code => {
      if (!this.#closed) this.#fail(new Error(`compressor thread ended with ${code}`));
    });
    this.#workers.push(thread);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { jobs } of this.#workers) {
      for (const job of jobs.splice(0)) job.reject(this.#failure);
    }
  }
}

/** Jobs that a thread has yet to do. Answers do not tell: they wait while this thread is busy. */
const left = ({ given, done }: Thread): number => given - Atomics.load(done, 0);

const taskOf = ({ compressor, hashing }: CompressRunOptions, done: SharedArrayBuffer): Task => {
  if (!hashing) return { compressor, done };
  return { compressor, done, hashing: { digester: hashing.digester, seen: hashing.seen.memory } };
};
