/**
 * The bytes of one NBD client, whatever it does.
 *
 * holds what was read and not taken yet, and what the system does not take yet of one write
 */
import type { Duplex } from 'node:stream';
import { ByteQueue } from '../lib/bytes.js';

/** Bytes are read only when they are waited for, and written at the client's pace. */
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

  /** Exactly `size` bytes; undefined where the client ends before. */
  async take(size: number): Promise<Buffer | undefined> {
    while (this.#queue.length < size) {
      if (!(await this.#more())) return undefined;
    }
    return this.#queue.take(size);
  }

  /** Lets `size` bytes pass, without holding them; false where the client ends before. */
  async skip(size: number): Promise<boolean> {
    for (let left = size; left > 0;) {
      if (this.#queue.length === 0 && !(await this.#more())) return false;
      left -= this.#queue.takeSome(left).length;
    }
    return true;
  }

  async #more(): Promise<boolean> {
    if (this.#stream.destroyed) return false;
    // a connection that breaks, or is cut by us, has ended
    const next = await this.#pieces.next().catch(() => undefined);
    if (!next || next.done) return false;
    this.#queue.push(next.value);
    return true;
  }

  /** Resolves when there is room for more, or when nobody will read it. */
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

  /** Nobody will read what is written. */
  get gone(): boolean {
    return this.#stream.destroyed;
  }

  /** Lets the client have what was written, unless it is gone. */
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
