import { allocate } from './allocate.js';

/** Copies all of `bytes` to or from shared memory, where `copy` and `set` take twice as long. */
export const copyShared = (target: Buffer, at: number, bytes: Buffer): void => {
  if (bytes.length > 0) target.fill(bytes, at, at + bytes.length);
};

/** A first-in, first-out queue of bytes in pieces of any size, which are joined only if need be. */
export class ByteQueue {
  #pieces: Buffer[] = [];
  #head = 0; // index of the first piece still in use
  #start = 0; // first byte of that piece still in use
  #length = 0;
  readonly #join: (size: number, last: Buffer) => Buffer;

  /** @param join makes a buffer to join pieces in; `last` is the last of these */
  constructor(join: (size: number, last: Buffer) => Buffer = allocate) {
    this.#join = join;
  }

  get length(): number {
    return this.#length;
  }

  push(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  /** Removes and returns `size` bytes: a view if one piece has them all, else a copy. */
  take(size: number): Buffer {
    if (size > this.#length) throw new RangeError(`${size} bytes of ${this.#length}`);
    if (size === 0) return Buffer.alloc(0);
    const first = this.#pieces[this.#head]!;
    if (first.length - this.#start >= size) {
      const view = first.subarray(this.#start, this.#start + size);
      this.#advance(size);
      return view;
    }
    const joined = this.#join(size, this.#pieceAt(size - 1));
    let at = 0;
    while (at < size) {
      const piece = this.#pieces[this.#head]!;
      const count = Math.min(piece.length - this.#start, size - at);
      piece.copy(joined, at, this.#start, this.#start + count);
      at += count;
      this.#advance(count);
    }
    return joined;
  }

  /** Like `take`, but returns at most what the first piece still holds, so it never copies. */
  takeSome(most: number): Buffer {
    const first = this.#pieces[this.#head];
    return first ? this.take(Math.min(most, first.length - this.#start)) : Buffer.alloc(0);
  }

  /** The piece that has the byte at this place in the queue. */
  #pieceAt(place: number): Buffer {
    let index = this.#head;
    let rest = place + this.#start;
    while (rest >= this.#pieces[index]!.length) rest -= this.#pieces[index++]!.length;
    return this.#pieces[index]!;
  }

  #advance(count: number): void {
    this.#length -= count;
    this.#start += count;
    if (this.#start < this.#pieces[this.#head]!.length) return;
    this.#start = 0;
    this.#pieces[this.#head++] = EMPTY;
    if (this.#head === this.#pieces.length || this.#head > 256) {
      this.#pieces.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

const EMPTY = Buffer.alloc(0);
