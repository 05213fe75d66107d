/**
 * The slabs that a build has sent to be worked on, in order: the build fills a slab, sends it with
 * what it stands for, and gets both back with the answer when those before it have been read.
 */
import type { Task, TaskAnswers, TaskKind } from './tasks.js';
import { stockOf, SLAB_SIZE, type SlabStock } from './slab-stock.js';
import {
  threadPool,
  type PoolClient,
  type Running,
  type Slab,
  type ThreadPool,
} from './thread-pool.js';

export interface SlabQueueOptions<K extends TaskKind> {
  task: Task<K>;
  /** most threads to use; 0: everything is done in this one */
  workers: number;
  /** default: 1 MiB */
  slabSize?: number;
  /** most slabs to hold, if that is fewer than there are */
  most?: number;
  /** all slabs belong together, and go to one thread */
  isRun?: boolean;
  /** default: that of the process */
  pool?: ThreadPool;
}

/** A slab that was worked on; it must be given back. */
export interface Worked<Item, K extends TaskKind> {
  readonly item: Item;
  readonly slab: Slab;
  readonly made: TaskAnswers[K];
}

export class SlabQueue<Item, K extends TaskKind> {
  readonly slabSize: number;
  readonly #workers: number;
  readonly #most: number;
  readonly #pool: ThreadPool;
  readonly #stock: SlabStock;
  readonly #client: PoolClient<K>;
  readonly #sent: { item: Item; slab: Slab; running: Running<TaskAnswers[K]> }[] = [];
  /** slabs that were taken and not given back */
  readonly #held = new Set<Slab>();
  #isClosed = false;

  constructor(options: SlabQueueOptions<K>) {
    const { task, workers, slabSize = SLAB_SIZE, most = Infinity, isRun = false } = options;
    const { pool = threadPool } = options;
    this.slabSize = slabSize;
    this.#workers = workers;
    this.#most = most;
    this.#pool = pool;
    this.#stock = stockOf(slabSize);
    this.#stock.enter(workers);
    this.#client = pool.client(task, { workers, isRun });
  }

  /** Slabs sent whose answers have not been read. */
  get length(): number {
    return this.#sent.length;
  }

  /** Whether the answer for the first of them is there. */
  get isReady(): boolean {
    return this.#sent[0]?.running.isReady === true;
  }

  /** Whether the slabs of a run go to a thread. */
  get isBound(): boolean {
    return this.#client.isBound;
  }

  /** Lets the slabs of a run go to a thread from now on, before the first is sent. */
  bind(): void {
    this.#client.bind();
  }

  /** A slab to fill; undefined if the first answer has to be read before. */
  take(): Slab | undefined {
    if (this.#isClosed) throw new Error('the queue is closed');
    const held = this.#held.size;
    const slab = held < this.#most ? this.#stock.take(held) : undefined;
    if (slab) this.#held.add(slab);
    return slab;
  }

  /** Sends a slab that has parts of these sizes at its start. */
  send(item: Item, slab: Slab, sizes: readonly number[]): void {
    this.#sent.push({ item, slab, running: this.#client.run(slab, sizes) });
  }

  /** The first slab that was sent, once it was worked on. */
  async next(): Promise<Worked<Item, K>> {
    const { item, slab, running } = this.#sent[0]!; // the caller has sent one
    const made = await running.done;
    this.#sent.shift();
    return { item, slab, made };
  }

  /** Gives a slab back. */
  free(slab: Slab): void {
    if (this.#held.delete(slab)) this.#stock.free(slab);
  }

  /** Ends the queue, whatever was sent: resolves when nothing works on its slabs any more. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.allSettled(this.#sent.map(({ running }) => running.done));
    for (const slab of this.#held) this.#stock.free(slab);
    this.#held.clear();
    this.#client.close();
    this.#pool.drop(this.#stock.leave(this.#workers));
  }
}
