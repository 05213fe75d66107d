/** How a source is read: files ahead and in parallel, everything else as it comes. */

import { allocate } from '../../lib/memory/allocate.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readable } from 'node:stream';
import type net from 'node:net';
import fs from 'node:fs';
import { promisify } from 'node:util';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { RafsError } from '../../lib/errors.js';
import { destroyAndWait } from './destroy.js';
import { adopt } from './fifo.js';

const close = promisify(fs.close);

/** Pieces of an open source, in order. Their memory is not reused unless there is a pool. */
export interface PieceReader {
  /** to take buffers from instead of allocating them */
  pool?: BufferPool;
  /** undefined at the end */
  next(): Promise<Buffer | undefined>;
  /** releases the descriptor once no read is in progress */
  close(): Promise<void>;
}

/** Bytes per read. */
export const PIECE_SIZE = 0x40000;
const READS_AHEAD = 2;

/** Pieces of a regular file, read ahead by position. Closes the given descriptor. */
export class FilePieces implements PieceReader {
  pool?: BufferPool;
  #fd: number;
  #at = 0;
  #end: number;
  #ahead: { wanted: number; bytes: Promise<Buffer> }[] = [];
  #closing: Promise<void> | undefined;

  /** @param size where to stop, even if the file is longer */
  constructor(fd: number, size = Infinity) {
    this.#fd = fd;
    this.#end = size;
  }

  async next(): Promise<Buffer | undefined> {
    while (this.#ahead.length < READS_AHEAD && this.#at < this.#end && !this.#closing) {
      const wanted = Math.min(PIECE_SIZE, this.#end - this.#at);
      const bytes = readFully(this.#fd, wanted, this.#at, this.pool?.take() ?? allocate(wanted));
      bytes.catch(() => undefined); // reported when its turn comes, if it does
      this.#ahead.push({ wanted, bytes });
      this.#at += wanted;
    }
    const first = this.#ahead[0];
    if (!first) return undefined;
    const bytes = await first.bytes;
    this.#ahead.shift(); // only now: close() waits for what is in the list
    if (bytes.length < first.wanted) {
      // the end; if the file has grown in the meantime, there is a gap before the next read
      this.#end = 0;
      await this.#settle();
    }
    return bytes.length > 0 ? bytes : undefined;
  }

  close(): Promise<void> {
    this.#closing ??= this.#settle().then(() => close(this.#fd));
    return this.#closing;
  }

  async #settle(): Promise<void> {
    await Promise.allSettled(this.#ahead.map(read => read.bytes));
    this.#ahead = [];
  }
}

/** Reads `size` bytes at `position`, fewer only at the end of the file. */
const readFully = (fd: number, size: number, position: number, buffer: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const read = (at: number): void =>
      fs.read(fd, buffer, at, size - at, position + at, (error, count) => {
        if (error) reject(error);
        else if (count === 0 || at + count === size) resolve(buffer.subarray(0, at + count));
        else read(at + count);
      });
    read(0);
  });

/** Pieces of a device, or of a file that is read from its current position. */
export class SequentialPieces implements PieceReader {
  pool?: BufferPool;
  #fd: number;
  #reading: Promise<Buffer | undefined> | undefined;
  #closing: Promise<void> | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  next(): Promise<Buffer | undefined> {
    this.#reading = this.#read();
    return this.#reading;
  }

  async #read(): Promise<Buffer | undefined> {
    const buffer = this.pool?.take() ?? allocate(PIECE_SIZE);
    while (!this.#closing) {
      try {
        const count = await readSome(this.#fd, buffer);
        return count > 0 ? buffer.subarray(0, count) : undefined;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        await sleep(10); // a device that has no data yet
      }
    }
    return undefined;
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.allSettled([this.#reading]);
      if (this.#fd !== 0) await close(this.#fd);
    })();
    return this.#closing;
  }
}

const readSome = (fd: number, buffer: Buffer): Promise<number> =>
  new Promise((resolve, reject) => {
    fs.read(fd, buffer, 0, buffer.length, null, (error, count) => {
      if (error) reject(error);
      else resolve(count);
    });
  });

/** Pieces of what somebody else makes, such as a stream; it is destroyed when it is closed. */
export class GivenPieces implements PieceReader {
  readonly #given: AsyncIterable<Uint8Array>;
  readonly #pieces: AsyncIterator<Buffer>;

  constructor(given: AsyncIterable<Uint8Array>) {
    this.#given = given;
    this.#pieces = cut(given);
  }

  async next(): Promise<Buffer | undefined> {
    const next = await this.#pieces.next();
    return next.done ? undefined : next.value;
  }

  async close(): Promise<void> {
    if (this.#given instanceof Readable) await destroyAndWait(this.#given);
    // if it is being waited for, it ends when it gives something: nobody waits for that
    void this.#pieces.return?.().catch(() => undefined);
  }
}

/** Any cuts become pieces of at most the usual size, without copying. */
async function* cut(given: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void> {
  for await (const bytes of given) {
    // a stream with an encoding, or of objects, gives other things
    if (!((bytes as unknown) instanceof Uint8Array)) {
      throw new RafsError('UNSUPPORTED', `expected bytes from the source, got a ${typeof bytes}`);
    }
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < buffer.length; at += PIECE_SIZE) {
      yield buffer.subarray(at, at + PIECE_SIZE);
    }
  }
}

/** Pieces of a stream, as they arrive. */

abstract class StreamPieces<S extends Readable> implements PieceReader {
  pool?: BufferPool;
  protected readonly stream: S;
  #wake: (() => void) | undefined;
  #failure: Error | undefined;
  #ended = false;

  constructor(stream: S) {
    this.stream = stream;
    stream.on('error', error => {
      this.#failure = error;
      this.wake();
    });
    for (const event of ['end', 'close']) {
      stream.on(event, () => {
        this.#ended = true;
        this.wake();
      });
    }
  }

  /** The next bytes, if any have arrived. */
  protected abstract take(): Buffer | undefined;

  /** Must be called when bytes have arrived. */
  protected wake(): void {
    this.#wake?.();
  }

  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const bytes = this.take();
      if (bytes) return bytes;
      if (this.#failure) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }

  async close(): Promise<void> {
    if (this.stream.closed) return;
    const closed = new Promise(resolve => this.stream.once('close', resolve));
    this.stream.destroy();
    await closed;
  }
}

export class TerminalPieces extends StreamPieces<Readable> {
  constructor(stream: Readable) {
    super(stream);
    stream.on('readable', () => this.wake());
  }

  protected take(): Buffer | undefined {
    return (this.stream.read() as Buffer | null) ?? undefined; // the stream has no encoding
  }
}

/** Default capacity of a pipe. */
const PIPE_SIZE = 0x10000;

/**
 * Pieces of a pipe: each is what has arrived when it is asked for. Until then, bytes are gathered
 * in large buffers; two full ones pause the pipe. A pipe gives 64 KiB at a time: with a buffer for
 * each read, there would be more garbage to collect.
 */
export class PipePieces extends StreamPieces<net.Socket> {
  /** the rest of full buffers, in order */
  readonly #ready: Buffer[] = [];
  /** the current buffer, passed on up to `#given` and filled up to `#used` */
  #buffer: Buffer = Buffer.alloc(0);
  #given = 0;
  #used = 0;
  #paused = false;

  /** @param fd is closed in the end */
  constructor(fd: number) {
    const buffer = Buffer.allocUnsafeSlow(PIPE_SIZE);
    const callback = (size: number): boolean => this.#gather(buffer.subarray(0, size));
    super(adopt(fd, 'read', { buffer, callback }));
    this.stream.resume(); // otherwise, it would never emit 'end'
  }

  protected take(): Buffer | undefined {
    const bytes = this.#ready.shift() ?? this.#rest();
    if (this.#paused && this.#ready.length < READS_AHEAD) {
      this.#paused = false;
      this.stream.resume();
    }
    return bytes;
  }

  /** Copies what was read; false if the pipe should pause. */
  #gather(bytes: Buffer): boolean {
    for (let at = 0; at < bytes.length;) {
      if (this.#used === this.#buffer.length) {
        const rest = this.#rest();
        if (rest) this.#ready.push(rest);
        this.#buffer = this.pool?.take() ?? allocate(PIECE_SIZE);
        this.#given = this.#used = 0;
      }
      const count = bytes.copy(this.#buffer, this.#used, at);
      this.#used += count;
      at += count;
    }
    this.#paused = this.#ready.length >= READS_AHEAD;
    this.wake();
    return !this.#paused;
  }

  /** What is in the current buffer and has not been passed on. */
  #rest(): Buffer | undefined {
    if (this.#given === this.#used) return undefined;
    const bytes = this.#buffer.subarray(this.#given, this.#used);
    this.#given = this.#used;
    return bytes;
  }
}
