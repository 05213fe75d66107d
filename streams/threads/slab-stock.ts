/**
 * The slabs of the process. Their number is bounded, which bounds memory however many builds there
 * are at once, and gives a build that is ahead of the threads a reason to wait. A build that has no
 * slab always gets one: it may be all that another one waits for.
 */
import { compressBound } from '../../lib/compress/compressors.js';
import type { Slab } from './thread-pool.js';

/** Slabs that wait for a thread, and as many that are done here, wait to be read or are filled. */
const STOCK = 3;
/** Bytes of a stock of large slabs. */
const STOCK_SIZE = 0x800000;

/** Slabs of this size are kept when nobody uses them. */
export const SLAB_SIZE = 0x100000;

export class SlabStock {
  readonly slabSize: number;
  readonly #free: Slab[] = [];
  /** how many builds hold */
  #taken = 0;
  /** for each build that takes slabs, how many threads it uses */
  readonly #users: number[] = [];

  constructor(slabSize: number) {
    this.slabSize = slabSize;
  }

  /** Most slabs in use: those in threads and in stock, and one more for each further build. */
  get limit(): number {
    const stock = Math.max(1, Math.min(STOCK, Math.floor(STOCK_SIZE / this.slabSize)));
    const workers = Math.max(...this.#users);
    return (workers === 0 ? 1 : workers + 2 * stock) + this.#users.length - 1;
  }

  /** A build begins that uses so many threads. */
  enter(workers: number): void {
    this.#users.push(workers);
  }

  /** The same build has ended, and freed its slabs. Gives slabs that nobody needs any more. */
  leave(workers: number): readonly Slab[] {
    this.#users.splice(this.#users.indexOf(workers), 1);
    const kept = this.#users.length > 0 || this.slabSize === SLAB_SIZE;
    return kept ? [] : this.#free.splice(0);
  }

  /** A slab, if one is free or the build holds none. */
  take(held: number): Slab | undefined {
    if (held > 0 && this.#taken >= this.limit) return undefined;
    this.#taken++;
    return this.#free.pop() ?? newSlab(this.slabSize);
  }

  free(slab: Slab): void {
    this.#taken--;
    this.#free.push(slab);
  }
}

let lastId = 0;

const newSlab = (size: number): Slab => ({
  id: ++lastId,
  plain: new SharedArrayBuffer(size),
  packed: new SharedArrayBuffer(compressBound(size)),
});

const stocks = new Map<number, SlabStock>();

/** The slabs of that size in this process. */
export const stockOf = (slabSize: number): SlabStock => {
  let stock = stocks.get(slabSize);
  if (!stock) stocks.set(slabSize, (stock = new SlabStock(slabSize)));
  return stock;
};
