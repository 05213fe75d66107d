/**
 * The sha256 of an open file, computed in a thread that reads the file by itself: a caller that
 * looks at the file meanwhile need not read all of it, nor wait.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { RafsError } from '../../lib/errors.js';
import { startThread } from './threads.js';

/** What the thread is given. */
export interface FileHashJob {
  fd: number;
  size: number;
}

export interface FileHashAnswer {
  digest: string;
  /** bytes read */
  size: number;
  /** the system's error, if reading failed */
  code: string | undefined;
}

/** A smaller file is hashed in this thread: starting another takes longer. */
const THREAD_FROM = 0x200000;

export class FileHash {
  /** in hex; rejects with CORRUPT if the file became shorter meanwhile */
  readonly digest: Promise<string>;
  readonly #worker: Worker | undefined;

  /** The descriptor must stay open until `close` has resolved. */
  constructor({ fd, size }: FileHashJob) {
    if (size < THREAD_FROM) {
      this.digest = new Promise(resolve => resolve(hashHere(fd, size)));
    } else {
      const worker = startThread('file-hash-worker');
      worker.postMessage({ fd, size } satisfies FileHashJob);
      this.#worker = worker;
      this.digest = new Promise((resolve, reject) => {
        worker.once('message', (answer: FileHashAnswer) => {
          try {
            resolve(checked(answer, size));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
        worker.once('error', reject);
        worker.once('exit', () => reject(new Error('hashing was given up')));
      });
    }
    this.digest.catch(() => undefined); // reported to whoever awaits it
  }

  /** Abandons unfinished work; resolves when the descriptor is no longer read. */
  async close(): Promise<void> {
    await this.#worker?.terminate();
  }
}

const hashHere = (fd: number, size: number): string => {
  const bytes = Buffer.allocUnsafeSlow(size);
  let at = 0;
  while (at < size) {
    const count = fs.readSync(fd, bytes, at, size - at, at);
    if (count === 0) break;
    at += count;
  }
  const digest = createHash('sha256').update(bytes.subarray(0, at)).digest('hex');
  return checked({ digest, size: at, code: undefined }, size);
};

const checked = ({ digest, size, code }: FileHashAnswer, due: number): string => {
  if (code !== undefined) throw Object.assign(new Error(`${code}: read`), { code });
  if (size === due) return digest;
  throw new RafsError(
    'CORRUPT',
    `expected ${due} bytes, got ${size}: the file shrank while it was read`,
  );
};
