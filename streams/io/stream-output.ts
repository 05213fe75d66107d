/** Outputs that are streams: sockets, FIFOs and stdout. */

import type net from 'node:net';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type Output, sizeOf } from './output.js';

/** A FIFO's writing end. Without a reader, writes fail with EPIPE. */
export const socketOutput = (socket: net.Socket, target: string): Output => {
  let failure: Error | undefined;
  let bytesWritten = 0;
  socket.on('error', error => (failure = error));
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
  return {
    async write(buffers) {
      if (failure) throw failure;
      await writeTo(socket, buffers);
      bytesWritten += sizeOf(buffers);
    },
    async finish() {
      socket.end();
      await closed;
      if (failure) throw failure;
      return target;
    },
    async abandon() {
      socket.destroy();
      await closed;
    },
    get bytesWritten() {
      return bytesWritten;
    },
  };
};

/** Standard output is not ours to close. */
export const stdoutOutput = (): Output => {
  let bytesWritten = 0;
  return {
    async write(buffers) {
      await writeTo(process.stdout, buffers);
      bytesWritten += sizeOf(buffers);
    },
    finish: () => Promise.resolve('-'),
    abandon: () => Promise.resolve(),
    get bytesWritten() {
      return bytesWritten;
    },
  };
};

/**
 * Somebody else's stream, which is ended in the end, or destroyed. It may keep what it is given, so
 * bytes for it must not lie in memory that is used again.
 */
export const streamOutput = (stream: Writable): Output => {
  let bytesWritten = 0;
  return {
    async write(buffers) {
      await writeTo(stream, buffers);
      bytesWritten += sizeOf(buffers);
    },
    async finish() {
      const ended = finished(stream, { readable: false, cleanup: true });
      stream.end();
      await ended;
      return undefined;
    },
    abandon() {
      // whoever gave up knows why; a stream that nobody listens to must not end the process
      if (!stream.destroyed) stream.on('error', () => undefined).destroy();
      return Promise.resolve();
    },
    get bytesWritten() {
      return bytesWritten;
    },
  };
};

/** Writes to a stream; resolves when it has taken the last buffer. */
const writeTo = (stream: Writable, buffers: readonly Buffer[]): Promise<void> =>
  new Promise<void>((resolve, reject) => {
    if (buffers.length === 0) {
      resolve();
      return;
    }
    // the callback reports errors; without a listener, they would also end the process
    const ignore = (): void => undefined;
    // one that is destroyed while it waits for its reader reports nothing
    const closed = (): void => reject(new Error('output was given up'));
    stream.once('error', ignore);
    stream.once('close', closed);
    stream.cork();
    buffers.forEach((buffer, i) => {
      const last = i === buffers.length - 1;
      stream.write(buffer, error => {
        if (error) reject(error);

        // a destroyed socket reports a write in progress as done
        else if (stream.destroyed) reject(new Error('output was given up'));
        else if (last) {
          stream.removeListener('error', ignore);
          stream.removeListener('close', closed);
          resolve();
        }
      });
    });
    stream.uncork();
  });
