/**
 * Space for inodes in a v6 image: a cursor, and the free tails of blocks that were left behind.
 * Offsets are relative to a metadata area that starts at 0; the first inode lies at 4096.
 */
import { alignDown, alignUp } from '../../layout/align.js';
import { V6 } from '../../layout/rafs-v6.js';

const UNIT = V6.SLOT_SIZE;

export class Space {
  cursor: number = V6.META_ALIGN;
  readonly #blockSize: number;
  /** by number of free units at the end of a block: starts of such blocks, first in, first out */
  readonly #tails: { blocks: number[]; head: number }[];
  /** which of these have blocks, 32 to a word: most files fit none, and need not look at each */
  readonly #filled: Uint32Array;

  constructor(blockSize: number) {
    this.#blockSize = blockSize;
    this.#tails = Array.from({ length: blockSize / UNIT }, () => ({ blocks: [], head: 0 }));
    this.#filled = new Uint32Array(Math.ceil(this.#tails.length / 32));
  }

  align(unit: number): void {
    this.cursor = alignUp(this.cursor, unit);
  }

  /** Takes `size` bytes at the cursor. */
  append(size: number): number {
    const at = this.cursor;
    this.cursor += size;
    return at;
  }

  /** Takes `size` bytes from the best fitting tail; returns their offset, or 0 if none fits. */
  take(size: number): number {
    if (size >= this.#blockSize) return 0;
    const units = Math.ceil(size / UNIT);
    const free = this.#leastFilled(units);
    if (free < 0) return 0;
    const tail = this.#tails[free]!;
    const block = tail.blocks[tail.head++]!;
    if (tail.head === tail.blocks.length) this.#filled[free >>> 5]! &= ~(1 << (free & 31));
    if (tail.head === 1024) {
      tail.blocks.splice(0, tail.head);
      tail.head = 0;
    }
    const at = block + this.#blockSize - UNIT * free;
    this.#give(at + UNIT * units);
    return at;
  }

  /** The size of the smallest tail of at least `units` units, or -1 if there is none. */
  #leastFilled(units: number): number {
    const filled = this.#filled;
    let word = units >>> 5;
    let bits = word < filled.length ? filled[word]! & (-1 << (units & 31)) : 0;
    while (bits === 0) {
      if (++word >= filled.length) return -1;
      bits = filled[word]!;
    }
    return word * 32 + 31 - Math.clz32(bits & -bits);
  }

  /** Leaves the rest of the cursor's block to later inodes, and goes on at the next block. */
  leaveBlock(): void {
    this.#give(this.cursor);
    this.align(this.#blockSize);
  }

  /** How much of the cursor's block is left: a whole block at its start. */
  get room(): number {
    return this.#blockSize - (this.cursor % this.#blockSize);
  }

  #give(at: number): void {
    const used = at % this.#blockSize;
    if (used === 0) return;
    const free = Math.floor((this.#blockSize - used) / UNIT);
    this.#tails[free]!.blocks.push(alignDown(at, this.#blockSize));
    this.#filled[free >>> 5]! |= 1 << (free & 31);
  }
}
