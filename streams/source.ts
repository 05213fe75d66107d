/**
 * source: the bytes of a file, a FIFO, a device or standard input, front to back.
 *
 * makes bytes, one part a batch
 * holds two reads of 256 KiB
 */
import fs from 'node:fs';
import type net from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import tty from 'node:tty';
import { promisify } from 'node:util';
import { allocate } from '../lib/allocate.js';
import { BufferPool } from '../lib/buffer-pool.js';
import { located } from '../lib/errors.js';
import type { BytesPart } from '../lib/parts.js';
import { adopt } from './fifo.js';

const close = promisify(fs.close);

/** Pieces of something open, in order; every piece is a new buffer, unless there is a pool. */
interface Pieces {
  /** where buffers are taken from, if they are ours to take */
  pool?: BufferPool;
  /** undefined at the end */
  next(): Promise<Buffer | undefined>;
  /** gives the descriptor back, once no read is under way */
  close(): Promise<void>;
}

/** What reads a source. Ends up closed whether it is read to its end or destroyed. */
export class Source extends Readable {
  /** bytes in all, where that can be known beforehand */
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
   * From now on takes buffers from a pool, for whoever says which of them are free again. From a
   * terminal they come as they are.
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
   * To be called before anything reads the stream. A failure closes the source.
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
 * Opens a source, once. '-' is standard input. A FIFO needs no writer yet.
 * Fails with the system's error.
 */
export const openSource = (path: string): Source => {
  if (path === '-' || path === '/dev/stdin') return openStdin();
  // O_NONBLOCK: opening a FIFO would wait for its writer
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  let stat: fs.Stats;
  try {
    stat = fs.fstatSync(fd);
    if (stat.isDirectory()) fs.readSync(fd, Buffer.alloc(1)); // EISDIR
  } catch (error) {
    fs.closeSync(fd);
    throw located(error, { stage: 'source', path });
  }
  // a size of 0 is no knowledge: files of /proc say so
  if (stat.isFile()) return new Source(path, new FilePieces(fd), stat.size || undefined);
  if (stat.isFIFO()) return new Source(path, new PipePieces(fd));
  if (tty.isatty(fd)) return new Source(path, new TerminalPieces(new tty.ReadStream(fd)));
  return new Source(path, new SequentialPieces(fd));
};

const openStdin = (): Source => {
  const stat = fs.fstatSync(0);
  if (stat.isFIFO() || stat.isSocket()) return new Source('-', new PipePieces(0));
  if (tty.isatty(0)) return new Source('-', new TerminalPieces(process.stdin));
  // from where it stands: whoever started us may have read some
  return new Source('-', new SequentialPieces(0), (stat.isFile() && stat.size) || undefined);
};

/** Bytes of a read. */
export const PIECE_SIZE = 0x40000;
const READS_AHEAD = 2;

/** Pieces of a regular file, read ahead by position. Closes the descriptor it is given. */
export class FilePieces implements Pieces {
  pool?: BufferPool;
  #fd: number;
  #at = 0;
  #end: number;
  #ahead: { wanted: number; bytes: Promise<Buffer> }[] = [];
  #closing: Promise<void> | undefined;

  /** @param size stops there, even if the file is longer */
  constructor(fd: number, size = Infinity) {
    this.#fd = fd;
    this.#end = size;
  }

  async next(): Promise<Buffer | undefined> {
    while (this.#ahead.length < READS_AHEAD && this.#at < this.#end && !this.#closing) {
      const wanted = Math.min(PIECE_SIZE, this.#end - this.#at);
      const bytes = readFully(this.#fd, wanted, this.#at, this.pool?.take() ?? allocate(wanted));
      bytes.catch(() => undefined); // seen when its turn comes, if it comes
      this.#ahead.push({ wanted, bytes });
      this.#at += wanted;
    }
    const first = this.#ahead[0];
    if (!first) return undefined;
    const bytes = await first.bytes;
    this.#ahead.shift(); // only now: close() waits for what is in the list
    if (bytes.length < first.wanted) {
      // the end; if the file grew meanwhile, the reads behind it have left a gap
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

/** `size` bytes at `position`, fewer only at the end of the file. */
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

/** Pieces of a device, or of a file that is not ours to position. */
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
        await sleep(10); // a device with nothing to say yet
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

/** Pieces of a stream, as they come. */
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

  /** What has come, if anything has. */
  protected abstract take(): Buffer | undefined;

  /** To be called when something has come. */
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

/** What a pipe holds, unless told otherwise. */
const PIPE_SIZE = 0x10000;

/**
 * Pieces of a pipe: what there is when one is asked for. What comes meanwhile is gathered, up to two
 * buffers. A pipe gives 64 KiB at a time: buffers made for each would have to be collected.
 */
class PipePieces extends StreamPieces<net.Socket> {
  /** complete, in order */
  readonly #ready: Buffer[] = [];
  /** the buffer under way: up to `#given` it was passed on, up to `#used` there are bytes */
  #buffer: Buffer = Buffer.alloc(0);
  #given = 0;
  #used = 0;
  #paused = false;

  /** @param fd which is closed at the end */
  constructor(fd: number) {
    const buffer = Buffer.allocUnsafeSlow(PIPE_SIZE);
    const callback = (size: number): boolean => this.#gather(buffer.subarray(0, size));
    super(adopt(fd, 'read', { buffer, callback }));
    this.stream.resume(); // else it never says that it has ended
  }

  protected take(): Buffer | undefined {
    const bytes = this.#ready.shift() ?? this.#rest();
    if (this.#paused && this.#ready.length < READS_AHEAD) {
      this.#paused = false;
      this.stream.resume();
    }
    return bytes;
  }

  /** Takes a copy of what was read; false if it is to pause. */
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

  /** What has come and is not complete. */
  #rest(): Buffer | undefined {
    if (this.#given === this.#used) return undefined;
    const bytes = this.#buffer.subarray(this.#given, this.#used);
    this.#given = this.#used;
    return bytes;
  }
}
