/** Outputs that are streams: sockets, FIFOs and stdout. */

import type net from 'node:net';
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

/** Writes to a stream; resolves when the system has taken the last buffer. */
const writeTo = (stream: NodeJS.WriteStream | net.Socket, buffers: readonly Buffer[]) =>
  new Promise<void>((resolve, reject) => {
    if (buffers.length === 0) {
      resolve();
      return;
    }
    // the callback reports errors; without a listener, they would also end the process
    const ignore = (): void => undefined;
    stream.once('error', ignore);
    stream.cork();
    buffers.forEach((buffer, i) => {
      const last = i === buffers.length - 1;
      stream.write(buffer, error => {
        if (error) reject(error);

        // a destroyed socket reports a write in progress as done
        else if (stream.destroyed) reject(new Error('output was given up'));
        else if (last) {
          stream.removeListener('error', ignore);
          resolve();
        }
      });
    });
    stream.uncork();
  });
