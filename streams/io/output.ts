/** What a build writes to. */

import type { FifoWaiting } from './fifo.js';

export interface Output {
  /** Appends; resolves when the system has taken the bytes. One call at a time. */
  write(buffers: readonly Buffer[]): Promise<void>;
  /** Appends zeros that take no space; not while a write is in progress. Only new files have it. */
  hole?(size: number): void;
  /**
   * Completes the output. In a directory, `finalName` is the name of its file; without one, no file
   * stays. Resolves to its path; undefined if it has none.
   */
  finish(finalName?: string): Promise<string | undefined>;
  /** Has what was written on the disk; `finish` sees to that too. Only files have it. */
  flush?(): Promise<void>;
  /** Nobody but the user may read the file: it has a secret in it. Only new files have it. */
  restrict?(): void;
  /** Gives up: no new file stays, and a FIFO's reader sees the end. Does nothing once finished. */
  abandon(): Promise<void>;
  readonly bytesWritten: number;
}

export interface OutputOptions extends FifoWaiting {
  /** permissions of a new file, less the umask; default: 0666 */
  mode?: number;
  /** have a file on the disk before it gets its name; default: true */
  fsync?: boolean | undefined;
}

export const sizeOf = (buffers: readonly Buffer[]): number =>
  buffers.reduce((sum, buffer) => sum + buffer.length, 0);

/** What is left of the buffers after their first `size` bytes. */
export const without = (buffers: readonly Buffer[], size: number): Buffer[] => {
  let at = 0;
  let rest = size;
  while (at < buffers.length && rest >= buffers[at]!.length) rest -= buffers[at++]!.length;
  const left = buffers.slice(at);
  if (rest > 0) left[0] = left[0]!.subarray(rest);
  return left;
};
