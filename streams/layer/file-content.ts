/**
 * Content of files whose attributes are known: small ones whole, large ones in pieces.
 *
 * Small files are read synchronously: from the page cache that takes 8 us per file, a quarter of
 * the time of three trips through the thread pool. If reads turn out to be slow (a cold disk, a
 * network), the pool reads some files ahead instead. Content and order are the same either way.
 */
import fs from 'node:fs';
import { allocate } from '../../lib/memory/allocate.js';
import { BufferPool, PooledCopies } from '../../lib/memory/buffer-pool.js';
import { located, RafsError } from '../../lib/errors.js';
import type { Entry } from '../../lib/model/entry.js';
import { FilePieces, PIECE_SIZE } from '../io/source-pieces.js';

/** An object to be read; `path` is where to open it. */
interface Readable {
  entry: Entry;
  path: Buffer;
  /** its content is not wanted */
  unread?: boolean;
}

/** Larger files are read in pieces. */
const SMALL_SIZE = 0x20000;
/** Objects ahead of the current one while the pool reads: at most 1 MiB. */
const AHEAD = 8;
/** Reads that take longer than this on average do not come from the page cache. */
const SLOW_MS = 0.2;
/** Files that the pool reads before synchronous reads are tried again. */
const POOLED_FILES = 256;

/** Pools that content is read into, if buffers are given back. */
export interface ContentPools {
  small?: PooledCopies;
  large?: BufferPool;
}

/** Size of a buffer that small files share. */
const SHARED_SIZE = 0x80000;

/** Opens the pools and returns them; each hands out its buffers in the order of the objects. */
export const openPools = (pools: ContentPools): readonly BufferPool[] => {
  const small = new BufferPool(SHARED_SIZE);
  pools.small = new PooledCopies(small);
  pools.large = new BufferPool(PIECE_SIZE);
  return [small, pools.large];
};

/** An object and, if it is a small file, its content or a promise of it. */
export interface WithContent<T extends Readable> {
  object: T;
  content: Buffer | Promise<Buffer> | undefined;
}

/** Goes through objects and reads the small files among them, ahead if that pays. */
export class SmallFiles<T extends Readable> {
  #objects: Iterator<T>;
  #ahead: WithContent<T>[] = [];
  #forced: boolean | undefined;
  #pools: ContentPools;
  #averageMs = 0;
  #pooled = 0; // files still to be read by the pool
  #current: WithContent<T> | undefined;

  /**
   * @param readAhead whether the thread pool reads; by default, decided by how long reads take
   * @param pools for content; files read ahead are not in order, and have buffers of their own
   */
  constructor(objects: Iterator<T>, readAhead?: boolean, pools: ContentPools = {}) {
    this.#objects = objects;
    this.#forced = readAhead;
    this.#pools = pools;
  }

  /** The next object; its promise must be awaited before the next call. */
  next(): WithContent<T> | undefined {
    while (this.#ahead.length <= (this.#byPool ? AHEAD : 0)) {
      // our iterators return no value
      const { done, value } = this.#objects.next() as IteratorResult<T, undefined>;
      if (done) break;
      this.#ahead.push({ object: value, content: this.#start(value) });
    }
    this.#current = this.#ahead.shift();
    return this.#current;
  }

  /** Waits for the reads in progress, so that none leaves a descriptor open. */
  async close(): Promise<void> {
    const all = [this.#current, ...this.#ahead];
    this.#ahead = [];
    await Promise.allSettled(all.map(one => Promise.resolve(one?.content)));
  }

  get #byPool(): boolean {
    return this.#forced ?? this.#pooled > 0;
  }

  #start({ entry, path, unread }: T): Buffer | Promise<Buffer> | undefined {
    if (unread || entry.type !== 'file' || entry.size === 0 || entry.size > SMALL_SIZE)
      return undefined;
    if (this.#byPool) {
      if (--this.#pooled === 0) this.#averageMs = 0;
      const content = readWhole(path, entry);
      content.catch(() => undefined); // reported when its turn comes, if it does
      return content;
    }
    const start = performance.now();
    const content = readWholeSync(path, entry, this.#pools.small);
    this.#averageMs += (performance.now() - start - this.#averageMs) / 16;
    if (this.#averageMs > SLOW_MS) this.#pooled = POOLED_FILES;
    return content;
  }
}

// What was a regular file may be something else by now: a symlink is not followed, and a FIFO does
// not block.
const OPEN_FLAGS = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;

const readWholeSync = (path: Buffer, entry: Entry, pool?: PooledCopies): Buffer => {
  try {
    const fd = fs.openSync(path, OPEN_FLAGS);
    try {
      const content = pool?.room(entry.size) ?? allocate(entry.size);
      let at = 0;
      while (at < entry.size) {
        const count = fs.readSync(fd, content, at, entry.size - at, null);
        if (count === 0) throw shrunk(at, entry);
        at += count;
      }
      return content;
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw located(error, { path: entry.path });
  }
};

const readWhole = async (path: Buffer, entry: Entry): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  for await (const piece of largeContent(path, entry)) pieces.push(piece);
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
};

/**
 * The first `entry.size` bytes of a file, even if there are more by now.
 * Fails with MISMATCH if there are fewer, or with the system's error; either tells the path.
 */
export async function* largeContent(
  path: Buffer,
  entry: Entry,
  pool?: BufferPool,
): AsyncGenerator<Buffer> {
  let size = 0;
  try {
    const pieces = new FilePieces(await openRead(path), entry.size);
    if (pool) pieces.pool = pool;
    try {
      for (let piece = await pieces.next(); piece; piece = await pieces.next()) {
        size += piece.length;
        yield piece;
      }
    } finally {
      await pieces.close();
    }
    if (size < entry.size) throw shrunk(size, entry);
  } catch (error) {
    throw located(error, { path: entry.path });
  }
}

const openRead = (path: Buffer): Promise<number> =>
  new Promise((resolve, reject) => {
    fs.open(path, OPEN_FLAGS, (error, fd) => {
      if (error) reject(error);
      else resolve(fd);
    });
  });

const shrunk = (size: number, entry: Entry): RafsError =>
  new RafsError(
    'MISMATCH',
    `expected ${entry.size} bytes, got ${size}: the file shrank while it was read`,
  );
