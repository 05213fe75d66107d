/**
 * source: the bytes of a file, a FIFO, a device or standard input, front to back.
 *
 * makes bytes, one part per batch
 * holds two reads of 256 KiB
 */
import fs from 'node:fs';
import type net from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import tty from 'node:tty';
import { promisify } from 'node:util';
import { allocate } from '../../lib/memory/allocate.js';
import { BufferPool } from '../../lib/memory/buffer-pool.js';
import { located } from '../../lib/errors.js';
import type { BytesPart } from '../../lib/model/parts.js';
import { adopt } from './fifo.js';

const close = promisify(fs.close);

/** Pieces of an open source, in order. Their memory is not reused unless there is a pool. */
interface Pieces {
  /** to take buffers from instead of allocating them */
  pool?: BufferPool;
  /** undefined at the end */
  next(): Promise<Buffer | undefined>;
  /** releases the descriptor once no read is in progress */
  close(): Promise<void>;
}

/** The stream of a source. It gets closed whether it is read to its end or destroyed. */
export class Source extends Readable {
  /** total bytes, if known in advance */
  readonly size: number | undefined;
  #pieces: Pieces;
  #path: string;
  #peeked: Buffer[] = [];
  #bytesRead = 0;

  constructor(path: string, pieces: Pieces, size?: number) {
    super({ objectMode: true, highWaterMark: 2 });
    this.#path = path;
    this.#pieces = pieces;
    this.size = size;
  }

  /**
   * From now on takes buffers from a pool, for a caller that reports when they are free again.
   * Those of a terminal are not from the pool.
   */
  usePool(): BufferPool {
    this.#pieces.pool ??= new BufferPool(PIECE_SIZE);
    return this.#pieces.pool;
  }

  /** bytes passed on so far */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /**
   * The first bytes, fewer than `count` only if there are no more; they are read again later.
   * Must be called before anything reads the stream. A failure closes the source.
   */
  async peek(count: number): Promise<Buffer> {
    try {
      let size = this.#peeked.reduce((sum, piece) => sum + piece.length, 0);
      while (size < count) {
        const piece = await this.#pieces.next();
        if (!piece) break;
        this.#peeked.push(piece);
        size += piece.length;
      }
    } catch (error) {
      this.destroy();
      throw this.#located(error);
    }
    return Buffer.concat(this.#peeked.map(piece => piece.subarray(0, count))).subarray(0, count);
  }

  override _read(): void {
    const peeked = this.#peeked.shift();
    if (peeked) this.#pass(peeked);
    else {
      this.#pieces.next().then(
        piece => (piece ? this.#pass(piece) : this.push(null)),
        (error: unknown) => this.destroy(this.#located(error)),
      );
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#pieces.close().then(
      () => done(error),
      (failure: unknown) => done(error ?? this.#located(failure)),
    );
  }

  #pass(bytes: Buffer): void {
    const part: BytesPart = { kind: 'bytes', offset: this.#bytesRead, bytes };
    this.#bytesRead += bytes.length;
    this.push([part]);
  }

  #located(error: unknown): Error {
    return located(error, { stage: 'source', path: this.#path });
  }
}

/**
 * Opens a source, once; '-' is standard input. A FIFO need not have a writer yet.
 * Fails with the system's error.
 */
export const openSource = (path: string): Source => {
  if (path === '-' || path === '/dev/stdin') return openStdin();
  // O_NONBLOCK: otherwise, opening a FIFO would wait for a writer
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  let stat: fs.Stats;
  try {
    stat = fs.fstatSync(fd);
    if (stat.isDirectory()) fs.readSync(fd, Buffer.alloc(1)); // EISDIR
  } catch (error) {
    fs.closeSync(fd);
    throw located(error, { stage: 'source', path });
  }
  // a size of 0 means nothing: files in /proc report it, too
  if (stat.isFile()) return new Source(path, new FilePieces(fd), stat.size || undefined);
  if (stat.isFIFO()) return new Source(path, new PipePieces(fd));
  if (tty.isatty(fd)) return new Source(path, new TerminalPieces(new tty.ReadStream(fd)));
  return new Source(path, new SequentialPieces(fd));
};

const openStdin = (): Source => {
  const stat = fs.fstatSync(0);
  if (stat.isFIFO() || stat.isSocket()) return new Source('-', new PipePieces(0));
  if (tty.isatty(0)) return new Source('-', new TerminalPieces(process.stdin));
  // from its current position: whoever started us may have read some of it
  return new Source('-', new SequentialPieces(0), (stat.isFile() && stat.size) || undefined);
};

/** Bytes per read. */
export const PIECE_SIZE = 0x40000;
const READS_AHEAD = 2;

/** Pieces of a regular file, read ahead by position. Closes the given descriptor. */
export class FilePieces implements Pieces {
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
class SequentialPieces implements Pieces {
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

/** Pieces of a stream, as they arrive. */
abstract class StreamPieces<S extends Readable> implements Pieces {
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

class TerminalPieces extends StreamPieces<Readable> {
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
class PipePieces extends StreamPieces<net.Socket> {
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
