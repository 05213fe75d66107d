/**
 * source: the bytes of a file, a FIFO, a device or standard input, front to back.
 *
 * makes bytes, one part per batch
 * holds two reads of 256 KiB
 */
import fs from 'node:fs';
import { Readable } from 'node:stream';
import tty from 'node:tty';
import { BufferPool } from '../../lib/memory/buffer-pool.js';
import { located } from '../../lib/errors.js';
import type { BytesPart } from '../../lib/model/parts.js';
import {
  TerminalPieces,
  SequentialPieces,
  PipePieces,
  PIECE_SIZE,
  FilePieces,
  GivenPieces,
  type PieceReader,
} from './source-pieces.js';

/** The stream of a source. It gets closed whether it is read to its end or destroyed. */
export class Source extends Readable {
  /** total bytes, if known in advance */
  readonly size: number | undefined;
  #pieces: PieceReader;
  #path: string;
  #peeked: Buffer[] = [];
  #bytesRead = 0;

  constructor(path: string, pieces: PieceReader, size?: number) {
    super({ objectMode: true, highWaterMark: 2 });
    this.#path = path;
    this.#pieces = pieces;
    this.size = size;
  }

  /**
   * From now on takes buffers from a pool, for a caller that reports when they are free again.
   * Those of a terminal, and of a stream that was given, are not from the pool.
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
  if (stat.isFIFO()) return new Source(path, piecesOfPipe(fd));
  if (tty.isatty(fd)) return new Source(path, new TerminalPieces(new tty.ReadStream(fd)));
  return new Source(path, new SequentialPieces(fd));
};

/** The bytes of a stream, or of anything else that can be iterated. */
export const sourceOf = (given: AsyncIterable<Uint8Array>): Source =>
  new Source('stream', new GivenPieces(given));

const openStdin = (): Source => {
  const stat = fs.fstatSync(0);
  if (stat.isFIFO() || stat.isSocket()) return new Source('-', piecesOfPipe(0));
  if (tty.isatty(0)) return new Source('-', new TerminalPieces(process.stdin));
  // from its current position: whoever started us may have read some of it
  return new Source('-', new SequentialPieces(0), (stat.isFile() && stat.size) || undefined);
};

/** Bun reads nothing from a socket that is made of a descriptor, and ends as if all were done. */
const piecesOfPipe = (fd: number): PieceReader =>
  process.versions.bun === undefined ? new PipePieces(fd) : new SequentialPieces(fd);
