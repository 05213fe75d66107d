/**
 * The sha256 of an open file, computed in a thread that reads the file by itself: a caller that
 * looks at the file meanwhile need not read all of it, nor wait.
 */
import { RafsError } from '../../lib/errors.js';
import { performerOf, type FileDigest, type Task } from './tasks.js';
import { threadPool, type ThreadPool } from './thread-pool.js';

/** A smaller file is hashed in this thread: starting another takes longer. */
const THREAD_FROM = 0x200000;

export class FileHash {
  /** in hex; rejects with CORRUPT if the file became shorter meanwhile */
  readonly digest: Promise<string>;
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));

  /** The descriptor must stay open until `close` has resolved. */
  constructor({ fd, size }: { fd: number; size: number }, pool: ThreadPool = threadPool) {
    const task = { kind: 'hash-file', fd, size, stop: this.#stop.buffer } as const;
    const made = size < THREAD_FROM ? hashHere(task) : pool.alone(task);
    this.digest = made.then(answer => checked(answer, size));
    this.digest.catch(() => undefined); // reported to whoever awaits it
  }

  /** Abandons unfinished work; resolves when the descriptor is no longer read. */
  async close(): Promise<void> {
    Atomics.store(this.#stop, 0, 1);
    await this.digest.catch(() => undefined);
  }
}

const NO_MEMORY = { plain: new SharedArrayBuffer(0), packed: new SharedArrayBuffer(0) };

const hashHere = async (task: Task<'hash-file'>): Promise<FileDigest> =>
  performerOf(task)(NO_MEMORY, []);

const checked = ({ digest, size }: FileDigest, due: number): string => {
  if (size === due) return digest;
  throw new RafsError(
    'CORRUPT',
    `expected ${due} bytes, got ${size}: the file shrank while it was read`,
  );
};
