/**
 * Growing columns of numbers and bytes. A layer may have a million inodes and chunks: as objects
 * they would take gigabytes, as columns they take about a hundred bytes each.
 */
import { account } from './allocate.js';

type Numbers = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/** A typed array that grows by half. `data` may be read and written directly, below `length`. */
export class Column<A extends Numbers> {
  data: A;
  length = 0;
  readonly #make: new (length: number) => A;

  constructor(make: new (length: number) => A, capacity = 256) {
    this.#make = make;
    this.data = new make(capacity);
  }

  push(value: number): void {
    if (this.length === this.data.length) this.#grow();
    this.data[this.length++] = value;
  }

  get(index: number): number {
    return this.data[index]!;
  }

  #grow(): void {
    account(this.data.byteLength);
    const grown = new this.#make(this.data.length + (this.data.length >> 1) + 1);
    grown.set(this.data);
    this.data = grown;
  }
}

/** Bytes appended one after another, and found by offset and size. */
export class ByteArena {
  #bytes = Buffer.allocUnsafeSlow(4096);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Appends a latin1 string; returns its offset. */
  addText(text: string): number {
    const at = this.#reserve(text.length);
    this.#bytes.write(text, at, text.length, 'latin1');
    return at;
  }

  /** Appends bytes; returns their offset. */
  add(bytes: Uint8Array): number {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return at;
  }

  /** Copies a run to an offset of `target`. Most are short: making a view would take longer. */
  copy(at: number, size: number, target: Buffer, to: number): void {
    const bytes = this.#bytes;
    for (let i = 0; i < size; i++) target[to + i] = bytes[at + i]!;
  }

  /** The first four bytes of a run, as a number that sorts as they do. */
  start(at: number): number {
    const bytes = this.#bytes;
    const low = (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    return ((bytes[at]! << 24) | low) >>> 0;
  }

  text(at: number, size: number): string {
    return this.#bytes.toString('latin1', at, at + size);
  }

  /** A view, valid until the next addition. */
  view(at: number, size: number): Buffer {
    return this.#bytes.subarray(at, at + size);
  }

  equalsText(at: number, size: number, text: string): boolean {
    if (size !== text.length) return false;
    const bytes = this.#bytes;
    for (let i = 0; i < size; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  equals(at: number, size: number, other: Uint8Array): boolean {
    const bytes = this.#bytes;
    for (let i = 0; i < size; i++) if (bytes[at + i] !== other[i]) return false;
    return true;
  }

  /** Byte order of two runs: negative, 0 or positive. */
  compare(atA: number, sizeA: number, atB: number, sizeB: number): number {
    const bytes = this.#bytes;
    const size = Math.min(sizeA, sizeB);
    for (let i = 0; i < size; i++) {
      const difference = bytes[atA + i]! - bytes[atB + i]!;
      if (difference !== 0) return difference;
    }
    return sizeA - sizeB;
  }

  #reserve(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const room = Math.max(this.#length, this.#bytes.length + (this.#bytes.length >> 1));
      account(this.#bytes.length);
      const grown = Buffer.allocUnsafeSlow(room);
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    return at;
  }
}

/**
 * A hash table of row numbers; rows and their keys are kept elsewhere. It has numbers and no
 * objects: 12 to 24 bytes per row.
 */
export class RowIndex {
  // pairs of row + 1 (0: free, -1: removed) and the hash, so that few rows need to be compared
  #slots = new Int32Array(2048);
  #used = 0;

  /** The row with this hash that `same` accepts, or -1. */
  find(hash: number, same: (row: number) => boolean): number {
    const slots = this.#slots;
    const mask = slots.length - 2;
    const wanted = hash | 0;
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const slot = slots[at]!;
      if (slot === 0) return -1;
      if (slots[at + 1] === wanted && slot > 0 && same(slot - 1)) return slot - 1;
    }
  }

  add(hash: number, row: number): void {
    // at most two thirds are in use
    if ((this.#used + 1) * 3 > this.#slots.length) this.#grow();
    this.#put(hash | 0, row + 1);
  }

  remove(hash: number, row: number): void {
    const mask = this.#slots.length - 2;
    for (let at = (hash << 1) & mask; this.#slots[at] !== 0; at = (at + 2) & mask) {
      if (this.#slots[at] === row + 1) {
        this.#slots[at] = -1;
        return;
      }
    }
  }

  #put(hash: number, slot: number): void {
    const slots = this.#slots;
    const mask = slots.length - 2;
    let at = (hash << 1) & mask;
    while (slots[at] !== 0) at = (at + 2) & mask;
    slots[at] = slot;
    slots[at + 1] = hash;
    this.#used++;
  }

  #grow(): void {
    const old = this.#slots;
    account(old.byteLength);
    this.#slots = new Int32Array(old.length * 2);
    this.#used = 0;
    for (let at = 0; at < old.length; at += 2) {
      if (old[at]! > 0) this.#put(old[at + 1]!, old[at]!);
    }
  }
}
