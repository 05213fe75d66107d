/**
 * A blob that is read once, front to back, whatever is asked for: every byte passes in its order,
 * and those that passed last are held. Where chunks are wanted in the order in which they are
 * stored, all of them come from what is held.
 */
import { allocate } from '../../lib/memory/allocate.js';
import type { ReaderAt } from '../io/reader-at.js';
import type { StoredBytes } from './blob-blocks.js';

/** Bytes that are read at once. */
const PIECE_SIZE = 0x10_0000;
/** Pieces that are held. */
const HELD = 4;

/** One call at a time. Closing it leaves the source open. */
export class BlobScan implements ReaderAt {
  readonly size: number;
  readonly readsAhead = true;
  /** the same for whoever can do without a promise */
  readonly blocks: StoredBytes = {
    read: (_source, offset, size) => this.#held(offset, size) ?? this.read(offset, size),
  };
  readonly #source: ReaderAt;
  readonly #pass: (bytes: Buffer) => void;
  /** the pieces that passed last, one after another */
  readonly #pieces: Buffer[] = [];
  /** where the first of them begins */
  #start = 0;
  /** all bytes before have passed */
  #end = 0;
  #next: Promise<Buffer> | undefined;

  /** @param pass is given all bytes, in their order; it must not change them */
  constructor(source: ReaderAt, pass: (bytes: Buffer) => void) {
    this.#source = source;
    this.#pass = pass;
    this.size = source.size;
  }

  async read(offset: number, size: number, into?: Buffer): Promise<Buffer> {
    const isInside = offset >= 0 && size >= 0 && offset + size <= this.size;
    if (!isInside || offset < this.#start) return this.#source.read(offset, size, into);
    const held = into ? undefined : this.#held(offset, size);
    if (held) return held;
    const bytes = into ?? allocate(size);
    for (let at = offset; at < offset + size;) {
      if (at >= this.#end) {
        await this.#advance();
        continue;
      }
      const from = at - this.#start;
      const piece = this.#pieces[Math.floor(from / PIECE_SIZE)]!;
      at += piece.copy(bytes, at - offset, from % PIECE_SIZE);
    }
    return bytes;
  }

  /** Lets all bytes pass that have not. */
  async finish(): Promise<void> {
    while (this.#end < this.size) await this.#advance();
  }

  async close(): Promise<void> {
    await this.#next?.catch(() => undefined);
  }

  /** A view of bytes that lie in one held piece. */
  #held(offset: number, size: number): Buffer | undefined {
    if (!(offset >= this.#start && offset + size <= this.#end)) return undefined;
    const from = (offset - this.#start) % PIECE_SIZE;
    const piece = this.#pieces[Math.floor((offset - this.#start) / PIECE_SIZE)];
    if (!piece || from + size > piece.length) return undefined;
    return piece.subarray(from, from + size);
  }

  async #advance(): Promise<void> {
    const piece = await (this.#next ?? this.#load(this.#end));
    this.#end += piece.length;
    this.#pieces.push(piece);
    if (this.#pieces.length > HELD) this.#start += this.#pieces.shift()!.length;
    // the next one comes while this one is worked on
    this.#next = this.#end < this.size ? this.#load(this.#end) : undefined;
    this.#next?.catch(() => undefined); // reported to whoever needs it
    this.#pass(piece);
  }

  #load(offset: number): Promise<Buffer> {
    return this.#source.read(offset, Math.min(PIECE_SIZE, this.size - offset));
  }
}
