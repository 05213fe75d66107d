/**
 * Content of files whose attributes are known: small ones whole, large ones in pieces.
 *
 * Small files are read synchronously: from the page cache that takes 8 us a file, a quarter of what
 * three trips through the thread pool do. Where reads turn out to be slow (a cold disk, a network)
 * the pool reads some ahead instead. What is read, and its order, is the same either way.
 */
import fs from 'node:fs';
import { allocate } from '../lib/allocate.js';
import { BufferPool, PooledCopies } from '../lib/buffer-pool.js';
import { located, RafsError } from '../lib/errors.js';
import type { Entry } from '../lib/parts.js';
import { FilePieces, PIECE_SIZE } from './source.js';

/** An object to be read; `path` is where to open it. */
interface Readable {
  entry: Entry;
  path: Buffer;
  /** its content is not wanted */
  unread?: boolean;
}

/** Larger files are read in pieces. */
const SMALL_SIZE = 0x20000;
/** Objects ahead of the one whose turn it is, while the pool reads: at most 1 MiB. */
const AHEAD = 8;
/** A read that takes longer, on average, does not come from the page cache. */
const SLOW_MS = 0.2;
/** Files to be read by the pool before the quick way is tried again. */
const POOLED_FILES = 256;

/** What content is read into, where buffers are given back. */
export interface ContentPools {
  small?: PooledCopies;
  large?: BufferPool;
}

/** Bytes of a buffer that small files share. */
const SHARED_SIZE = 0x80000;

/** Opens the pools, and gives them: each has its buffers in the order of the objects. */
export const openPools = (pools: ContentPools): readonly BufferPool[] => {
  const small = new BufferPool(SHARED_SIZE);
  pools.small = new PooledCopies(small);
  pools.large = new BufferPool(PIECE_SIZE);
  return [small, pools.large];
};

/** An object and, if it is a small file, its content or the promise of it. */
export interface WithContent<T extends Readable> {
  object: T;
  content: Buffer | Promise<Buffer> | undefined;
}

/** Goes through objects and reads the small files among them, ahead where that pays. */
export class SmallFiles<T extends Readable> {
  #objects: Iterator<T>;
  #ahead: WithContent<T>[] = [];
  #forced: boolean | undefined;
  #pools: ContentPools;
  #averageMs = 0;
  #pooled = 0; // files still to be read by the pool
  #current: WithContent<T> | undefined;

  /**
   * @param readAhead whether the thread pool reads; decided by how long reads take unless given
   * @param pools for content; what is read ahead is not in their order, and has its own buffers
   */
  constructor(objects: Iterator<T>, readAhead?: boolean, pools: ContentPools = {}) {
    this.#objects = objects;
    this.#forced = readAhead;
    this.#pools = pools;
  }

  /** The next object; its promise is to be awaited before the next call. */
  next(): WithContent<T> | undefined {
    while (this.#ahead.length <= (this.#byPool ? AHEAD : 0)) {
      const { done, value } = this.#objects.next() as IteratorResult<T, undefined>; // ours end so
      if (done) break;
      this.#ahead.push({ object: value, content: this.#start(value) });
    }
    this.#current = this.#ahead.shift();
    return this.#current;
  }

  /** Waits for the reads under way; none leaves a descriptor open. */
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
      content.catch(() => undefined); // seen when its turn comes, if it comes
      return content;
    }
    const start = performance.now();
    const content = readWholeSync(path, entry, this.#pools.small);
    this.#averageMs += (performance.now() - start - this.#averageMs) / 16;
    if (this.#averageMs > SLOW_MS) this.#pooled = POOLED_FILES;
    return content;
  }
}

// What was a regular file may be something else by now: a symlink is not followed, a FIFO not
// waited for.
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
 * The content of a file, of `entry.size` bytes even if there are more by now.
 * Fails with MISMATCH if there are fewer, or with the system's error; the place has the path.
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
  new RafsError('MISMATCH', `got ${size} bytes of ${entry.size}: the file became shorter`);
