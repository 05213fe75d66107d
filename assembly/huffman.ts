/** Builds decoding tables from code lengths, and refuses the sets of lengths that zlib refuses. */
import {
  COUNTS,
  DISTANCE_BASES,
  DISTANCE_BITS,
  DISTANCE_TABLE,
  END_OF_BLOCK,
  INVALID,
  LENGTHS,
  LENGTH_BASES,
  LITERAL,
  LITERAL_BITS,
  LITERAL_TABLE,
  LONGEST,
  NEXT_CODES,
  PRECODE_BITS,
  PRECODE_TABLE,
  SPECIAL,
  SUBTABLE,
} from './inflate-memory';

/** What a table decodes. */
export const PRECODE: i32 = 0;
export const LITERALS: i32 = 1;
export const DISTANCES: i32 = 2;

/** Writes the entries, without codes, of all length and distance symbols (RFC 1951, 3.2.5). */
export function prepare(): void {
  let base: u32 = 3;
  for (let i: u32 = 0; i < 28; i++) {
    const extra: u32 = i < 8 ? 0 : (i - 4) >> 2;
    store<u32>(LENGTH_BASES + (i << 2), (base << 16) | extra);
    base += 1 << extra;
  }
  store<u32>(LENGTH_BASES + (28 << 2), 258 << 16);
  store<u32>(LENGTH_BASES + (29 << 2), INVALID);
  store<u32>(LENGTH_BASES + (30 << 2), INVALID);
  base = 1;
  for (let i: u32 = 0; i < 30; i++) {
    const extra: u32 = i < 4 ? 0 : (i - 2) >> 1;
    store<u32>(DISTANCE_BASES + (i << 2), (base << 16) | extra);
    base += 1 << extra;
  }
  store<u32>(DISTANCE_BASES + (30 << 2), INVALID);
  store<u32>(DISTANCE_BASES + (31 << 2), INVALID);
}

/** The tables of a block with fixed codes (RFC 1951, 3.2.6). */
export function buildFixed(): void {
  for (let i: u32 = 0; i < 288; i++) {
    store<u8>(LENGTHS + i, i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
  }
  build(LENGTHS, 288, LITERALS);
  for (let i: u32 = 0; i < 32; i++) store<u8>(LENGTHS + i, 5);
  build(LENGTHS, 32, DISTANCES);
}

/** Reverses the bits of a code: codes are sent highest bit first, all else lowest bit first. */
function reversed(code: u32, length: u32): u32 {
  code = ((code & 0x5555) << 1) | ((code >> 1) & 0x5555);
  code = ((code & 0x3333) << 2) | ((code >> 2) & 0x3333);
  code = ((code & 0x0f0f) << 4) | ((code >> 4) & 0x0f0f);
  code = ((code & 0xff) << 8) | ((code >> 8) & 0xff);
  return code >> (16 - length);
}

/** Adds a code of `length` bits to an entry that counts only extra bits. */
function withCode(entry: u32, length: u32): u32 {
  return entry + ((length << 8) | length);
}

/** The entry of a symbol, without its code. */
function entryOf(symbol: u32, kind: i32): u32 {
  if (kind == PRECODE) return symbol << 16;
  if (kind == DISTANCES) return load<u32>(DISTANCE_BASES + (symbol << 2));
  if (symbol < 256) return LITERAL | (symbol << 16);
  if (symbol == 256) return SPECIAL | END_OF_BLOCK;
  return load<u32>(LENGTH_BASES + ((symbol - 257) << 2));
}

/**
 * Builds the table of `kind` from `count` code lengths at `lengths`; false if they form no code.
 *
 * A code must not be oversubscribed. Only codes of literals and distances may be incomplete: with a
 * single code of one bit, or, for distances, none at all, since a block without matches needs none.
 */
export function build(lengths: usize, count: u32, kind: i32): bool {
  const table =
    kind == LITERALS ? LITERAL_TABLE : kind == DISTANCES ? DISTANCE_TABLE : PRECODE_TABLE;
  const tableBits =
    kind == LITERALS ? LITERAL_BITS : kind == DISTANCES ? DISTANCE_BITS : PRECODE_BITS;
  const size: u32 = 1 << tableBits;
  const mask = size - 1;

  memory.fill(COUNTS, 0, 64);
  for (let i: u32 = 0; i < count; i++) {
    const at = COUNTS + ((<usize>load<u8>(lengths + i)) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  store<u32>(COUNTS, 0);
  let left: i32 = 1;
  let longest: u32 = 0;
  let code: u32 = 0;
  for (let length: u32 = 1; length < 16; length++) {
    const codes = load<u32>(COUNTS + (length << 2));
    left = (left << 1) - codes;
    if (left < 0) return false;
    if (codes) longest = length;
    code = (code + load<u32>(COUNTS + ((length - 1) << 2))) << 1;
    store<u32>(NEXT_CODES + (length << 2), code);
  }
  if (left > 0) {
    if (longest == 0 ? kind != DISTANCES : kind == PRECODE || longest != 1) return false;
    for (let i: u32 = 0; i < size; i++) store<u32>(table + (i << 2), INVALID);
  }
  if (longest > tableBits) addSubtables(table, tableBits, longest);

  for (let symbol: u32 = 0; symbol < count; symbol++) {
    const length: u32 = load<u8>(lengths + symbol);
    if (!length) continue;
    const own = load<u32>(NEXT_CODES + (length << 2));
    store<u32>(NEXT_CODES + (length << 2), own + 1);
    const index = reversed(own, length);
    const entry = entryOf(symbol, kind);
    if (length <= tableBits) {
      for (let i = index; i < size; i += 1 << length) {
        store<u32>(table + (i << 2), withCode(entry, length));
      }
      continue;
    }
    const link = load<u32>(table + ((index & mask) << 2));
    const start = (link >> 16) & 0x7fff;
    const linkSize: u32 = 1 << ((link >> 8) & 15);
    const rest = length - tableBits;
    for (let i = index >> tableBits; i < linkSize; i += 1 << rest) {
      store<u32>(table + ((start + i) << 2), withCode(entry, rest));
    }
  }
  return true;
}

/** Links every prefix that only longer codes have to a subtable of the size it needs. */
function addSubtables(table: usize, tableBits: u32, longest: u32): void {
  const size: u32 = 1 << tableBits;
  memory.fill(LONGEST, 0, size);
  for (let length = tableBits + 1; length <= longest; length++) {
    let code = load<u32>(NEXT_CODES + (length << 2));
    const end = code + load<u32>(COUNTS + (length << 2));
    for (; code < end; code++) {
      store<u8>(LONGEST + (reversed(code, length) & (size - 1)), <u8>length);
    }
  }
  let start = size;
  for (let i: u32 = 0; i < size; i++) {
    const most: u32 = load<u8>(LONGEST + i);
    if (!most) continue;
    const bits = most - tableBits;
    store<u32>(table + (i << 2), SPECIAL | SUBTABLE | (start << 16) | (bits << 8) | tableBits);
    start += 1 << bits;
  }
}
