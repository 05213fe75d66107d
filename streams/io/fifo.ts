/**
 * FIFOs without blocking: opened with O_NONBLOCK and handed to a socket, so that a late or silent
 * peer does not occupy a thread of the pool. Four blocking opens would stall all file access.
 */
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants;

/** Whether the path leads to a FIFO; false if nothing is there. */
export const isFifo = (path: string): boolean => {
  try {
    return fs.statSync(path).isFIFO();
  } catch {
    return false;
  }
};

export interface FifoWaiting {
  /** how long to wait for a reader; forever if not given */
  timeoutMs?: number;
  /** stops the wait, with the signal's reason */
  signal?: AbortSignal | undefined;
}

/**
 * The writing end as a stream, once there is a reader. Nothing is truncated.
 * Fails with ENXIO if no reader comes in time; if the reader leaves, writes fail with EPIPE.
 */
export const openFifoForWriting = async (
  path: string,
  waiting: FifoWaiting = {},
): Promise<net.Socket> => adopt(await openWriting(path, waiting), 'write');

/**
 * A stream over a pipe's descriptor, which it closes when it is destroyed.
 *
 * @param onread receives the data instead of the stream, in the same memory every time
 */
export const adopt = (
  fd: number,
  direction: 'read' | 'write',
  onread?: net.OnReadOpts,
): net.Socket => {
  const readable = direction === 'read';
  try {
    return new net.Socket({ fd, readable, writable: !readable, ...(onread ? { onread } : {}) });
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
};

const openWriting = async (path: string, { timeoutMs, signal }: FifoWaiting): Promise<number> => {
  const deadline = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
  for (let pause = 1; ; pause = Math.min(2 * pause, 50)) {
    signal?.throwIfAborted();
    try {
      return fs.openSync(path, O_WRONLY | O_NONBLOCK);
    } catch (error) {
      // ENXIO: nobody has it open for reading yet
      if (codeOf(error) !== 'ENXIO' || performance.now() >= deadline) throw error;
    }
    await sleep(pause);
  }
};

/** How long a failing command waits for its peer, so that the peer does not wait forever. */
const RELEASE_MS = 2000;

/**
 * Before failing early: lets a reader that waits for data see an end, so that it does not hang.
 * True if there was a reader. Never fails; does nothing to what is not a FIFO.
 */
export const releaseFifo = async (path: string, timeoutMs = RELEASE_MS): Promise<boolean> => {
  if (!isFifo(path)) return false;
  try {
    fs.closeSync(await openWriting(path, { timeoutMs }));
    return true;
  } catch {
    return false;
  }
};

/**
 * The same for a source: a writer that waits for a reader gets EPIPE.
 * True if there was a writer. Never fails; does nothing to what is not a FIFO.
 */
export const releaseSourceFifo = async (path: string, timeoutMs = RELEASE_MS): Promise<boolean> => {
  if (!isFifo(path)) return false;
  let fd: number | undefined;
  try {
    fd = fs.openSync(path, O_RDONLY | O_NONBLOCK);
    const deadline = performance.now() + timeoutMs;
    for (let pause = 1; ; pause = Math.min(2 * pause, 50)) {
      if (hasWriter(fd)) return true;
      if (performance.now() >= deadline) return false;
      await sleep(pause);
    }
  } catch {
    return false;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
};

/** How many seconds a FIFO stays open after a command has failed. */
const LINGER_SECONDS = 1;

/**
 * Before failing: keeps the FIFO's writing end open until after this process has ended. Clients of
 * unpack wait for the end of the FIFO and for an exit status, and act on whichever comes first: if
 * that is the end, they take half a layer for a whole one.
 * Never fails; does nothing to what is not a FIFO.
 */
export const lingerFifo = async (path: string): Promise<void> => {
  if (!isFifo(path)) return;
  try {
    const { spawn } = await import('node:child_process'); // rarely needed
    const fd = fs.openSync(path, O_RDWR | O_NONBLOCK); // does not block
    try {
      const stdio = ['ignore', fd, 'ignore'] as const;
      const child = spawn('sleep', [`${LINGER_SECONDS}`], { stdio: [...stdio], detached: true });
      child.on('error', () => undefined); // without the child, the end comes at once
      child.unref();
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    // then the end comes at once
  }
};

/** A read gives 0 bytes if there is no writer, and EAGAIN if there is a silent one. */
const hasWriter = (fd: number): boolean => {
  try {
    return fs.readSync(fd, Buffer.alloc(1)) > 0;
  } catch (error) {
    return codeOf(error) === 'EAGAIN';
  }
};

const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code;
