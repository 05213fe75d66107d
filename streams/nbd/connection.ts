/**
 * The byte stream of one NBD client, whatever the client does.
 *
 * holds what was read but not yet taken, and what the system has not yet accepted of one write
 */
import type { Duplex } from 'node:stream';
import { ByteQueue } from '../../lib/memory/byte-queue.js';

/** Reads bytes only on demand, and writes at the client's pace. */
export class NbdConnection {
  readonly #stream: Duplex;
  readonly #queue = new ByteQueue();
  readonly #pieces: AsyncIterator<Buffer>;
  #room: (() => void) | undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#pieces = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    const wake = (): void => this.#room?.();
    stream.on('error', () => undefined); // reading and writing see the end
    stream.on('drain', wake);
    stream.on('close', wake);
  }

  /** Exactly `size` bytes; undefined if the stream ends before. */
  async take(size: number): Promise<Buffer | undefined> {
    while (this.#queue.length < size) {
      if (!(await this.#more())) return undefined;
    }
    return this.#queue.take(size);
  }

  /** Skips `size` bytes without holding them; false if the stream ends before. */
  async skip(size: number): Promise<boolean> {
    for (let left = size; left > 0;) {
      if (this.#queue.length === 0 && !(await this.#more())) return false;
      left -= this.#queue.takeSome(left).length;
    }
    return true;
  }

  async #more(): Promise<boolean> {
    if (this.#stream.destroyed) return false;
    // a connection that breaks, or that we destroy, has ended
    const next = await this.#pieces.next().catch(() => undefined);
    if (!next || next.done) return false;
    this.#queue.push(next.value);
    return true;
  }

  /** Resolves when there is room for more, or when the client is gone. */
  async write(...pieces: Buffer[]): Promise<void> {
    const stream = this.#stream;
    let room = true;
    stream.cork();
    for (const piece of pieces) if (!stream.destroyed) room = stream.write(piece);
    stream.uncork();
    if (room || stream.destroyed) return;
    await new Promise<void>(resolve => (this.#room = resolve));
    this.#room = undefined;
  }

  /** Whether nobody will read what is written. */
  get gone(): boolean {
    return this.#stream.destroyed;
  }

  /** Ends the connection after sending what was written, unless the client is gone. */
  async end(): Promise<void> {
    if (this.#stream.destroyed) return;
    await new Promise<void>(resolve => {
      this.#stream.once('close', resolve);
      this.#stream.end(resolve);
    });
  }

  destroy(): void {
    this.#stream.destroy();
  }
}
