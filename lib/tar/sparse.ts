/**
 * Sparse files in a tar: the map of their stored extents, in GNU tar's forms, and their expansion.
 *
 * A map is a list of numbers: offset and size of each extent, alternating.
 */
import { RafsError, corrupt } from '../errors.js';
import { BLOCK_SIZE, GnuSparseHeader, SparseExtension, SparseExtent } from '../layout/tar.js';
import type { DataPart, HolePart } from '../model/parts.js';
import type { PaxSparse } from './pax.js';

/** The most bytes or extents that a map in any form may have; the limit of other headers, too. */
const SPARSE_MAP_LIMIT = 0x100000;
/** Digits of a number in a map: with more it is over 2^53. */
const DIGITS_LIMIT = 16;

/**
 * Checks a map against the sizes of the file: extents must be in order, not overlap, lie within
 * `realSize`, and add up to `storedSize`. CORRUPT if they do not.
 */
export const checkSparseMap = (
  extents: readonly number[],
  realSize: number,
  storedSize: number,
): void => {
  if (extents.length % 2 !== 0) throw corrupt('a sparse map has an offset without a size');
  let end = 0;
  let sum = 0;
  for (let i = 0; i < extents.length; i += 2) {
    const offset = extents[i]!;
    const size = extents[i + 1]!;
    if (!(offset >= end && size >= 0)) {
      throw corrupt(`a sparse extent at ${offset} overlaps the one that ends at ${end}`);
    }
    end = offset + size;
    if (!(end <= realSize)) {
      throw corrupt(`a sparse extent ends at ${end}, past the end of the file at ${realSize}`);
    }
    sum += size;
  }
  if (sum !== storedSize)
    throw corrupt(`expected sparse extents of ${storedSize} bytes, got ${sum}`);
};

/** Adds the extents of a GNU header or extension: `bytes` is its list, up to a blank extent. */
const readExtents = (bytes: Buffer, extents: number[]): void => {
  for (let at = 0; at < bytes.length; at += SparseExtent.size) {
    if (bytes[at + SparseExtent.offsets.size] === 0) return;
    const { offset, size } = SparseExtent.decode(bytes, at);
    extents.push(offset, size);
  }
};

/** A map as it is being read. */
export interface SparseMap {
  readonly extents: readonly number[];
  /** bytes of the file, including its holes */
  readonly realSize: number;
  /** bytes that the map takes of the file's stored size */
  readonly size: number;
  /** whether all of it was read; if not, `push` wants the next block */
  readonly complete: boolean;
  push(block: Buffer): void;
}

const tooLong = () => new RafsError('LIMIT', `a sparse map exceeds ${SPARSE_MAP_LIMIT} bytes`);

/** The map of a GNU header of type S. Its extension blocks do not count in the stored size. */
export const gnuSparseMap = (header: Buffer, at: number): SparseMap => {
  const { sparse, extended, realSize } = GnuSparseHeader.decode(header, at);
  const extents: number[] = [];
  readExtents(sparse, extents);
  let extensionSize = 0;
  let complete = extended === 0;
  return {
    extents,
    realSize,
    size: 0,
    get complete() {
      return complete;
    },
    push(block) {
      extensionSize += BLOCK_SIZE;
      if (extensionSize > SPARSE_MAP_LIMIT) throw tooLong();
      const extension = SparseExtension.decode(block);
      readExtents(extension.sparse, extents);
      complete = extension.extended === 0;
    },
  };
};

/** The map that PAX records contain (0.0, 0.1), or that they announce before the content (1.0). */
export const paxSparseMap = ({
  major = 0,
  minor = 0,
  realSize,
  extents = [],
  extentCount,
}: PaxSparse): SparseMap => {
  if (realSize === undefined) throw corrupt('a sparse file has no size');
  if (major === 1 && minor === 0) return new SparseMapText(realSize);
  if (major !== 0 || minor > 1) {
    throw new RafsError('UNSUPPORTED', `unsupported sparse file version ${major}.${minor}`);
  }
  if (extentCount !== undefined && extents.length !== 2 * extentCount) {
    throw corrupt(
      `a sparse map of ${extentCount} extents needs ${2 * extentCount} numbers, got ${extents.length}`,
    );
  }
  return { extents, realSize, size: 0, complete: true, push: () => undefined };
};

/**
 * The map of PAX sparse 1.0: decimal numbers before the content, one per line, beginning with the
 * number of extents, and padded to a block.
 */
class SparseMapText implements SparseMap {
  readonly extents: number[] = [];
  readonly realSize: number;
  size = 0;
  #due = -1; // numbers still to come; not known before the first one
  #digits = '';

  constructor(realSize: number) {
    this.realSize = realSize;
  }

  get complete(): boolean {
    return this.#due === 0;
  }

  push(block: Buffer): void {
    this.size += BLOCK_SIZE;
    if (this.size > SPARSE_MAP_LIMIT) throw tooLong();
    let at = 0;
    while (this.#due !== 0) {
      const newline = block.indexOf(0x0a, at);
      this.#digits += block.toString('latin1', at, newline < 0 ? block.length : newline);
      if (newline < 0 && this.#digits.length <= DIGITS_LIMIT) return;
      this.#number();
      at = newline + 1;
    }
  }

  #number(): void {
    if (!/^[0-9]+$/.test(this.#digits) || this.#digits.length > DIGITS_LIMIT) {
      throw corrupt('a line of a sparse map is not a number');
    }
    const value = Number(this.#digits);
    this.#digits = '';
    if (this.#due > 0) {
      this.extents.push(value);
      this.#due--;
    } else if (value <= SPARSE_MAP_LIMIT) {
      this.#due = 2 * value;
    } else {
      throw tooLong();
    }
  }
}

/** Turns the stored bytes of a file, whose map was checked, into its content. */
export class SparseExpander {
  #extents: readonly number[];
  #realSize: number;
  #next = 0; // index of the current extent
  #offset = 0; // in the content

  constructor(extents: readonly number[], realSize: number) {
    this.#extents = extents;
    this.#realSize = realSize;
  }

  /** The content up to the end of the next stored bytes. */
  *push(stored: Buffer): Iterable<DataPart | HolePart> {
    while (stored.length > 0) {
      const offset = this.#extents[this.#next]!;
      const end = offset + this.#extents[this.#next + 1]!;
      if (this.#offset >= end || end === offset) {
        this.#next += 2;
        continue;
      }
      if (this.#offset < offset) {
        yield { kind: 'hole', size: offset - this.#offset };
        this.#offset = offset;
      }
      const size = Math.min(stored.length, end - this.#offset);
      const bytes = size === stored.length ? stored : stored.subarray(0, size);
      yield { kind: 'data', bytes };
      this.#offset += size;
      stored = stored.subarray(size);
    }
  }

  /** The hole after the last stored byte. */
  *end(): Iterable<HolePart> {
    const size = this.#realSize - this.#offset;
    if (size > 0) yield { kind: 'hole', size };
    this.#offset = this.#realSize;
  }
}
