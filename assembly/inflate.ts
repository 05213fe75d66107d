/**
 * Raw deflate decoder (RFC 1951) that stops at every block end and at any amount of output.
 *
 * It accepts and refuses what zlib does, and stops at the same bit as zlib would: references into
 * gzip layers record such places.
 */
import {
  DISTANCES,
  LITERALS,
  PRECODE as PRECODE_KIND,
  build,
  buildFixed,
  prepare,
} from './huffman';
import {
  DISTANCE_BITS,
  DISTANCE_TABLE,
  END_OF_BLOCK,
  INPUT,
  INPUT_SIZE,
  INVALID,
  LENGTHS,
  LITERAL,
  LITERAL_BITS,
  LITERAL_TABLE,
  OUTPUT,
  OUTPUT_SIZE,
  PRECODE_BITS,
  PRECODE_TABLE,
  SPECIAL,
  SUBTABLE,
  WINDOW,
  WINDOW_SIZE,
} from './inflate-memory';

/** Why run() stops. */
const NEED_INPUT: i32 = 0;
const OUTPUT_FULL: i32 = 1;
const BLOCK_END: i32 = 2;
const STREAM_END: i32 = 3;
/** Not a stop. */
const GO_ON: i32 = 4;

/** What is wrong with the stream. */
const BAD_BLOCK_TYPE: i32 = -1;
const BAD_STORED_LENGTH: i32 = -2;
const TOO_MANY_SYMBOLS: i32 = -3;
const BAD_CODE_LENGTHS: i32 = -4;
const BAD_REPEAT: i32 = -5;
const NO_END_OF_BLOCK: i32 = -6;
const BAD_LITERAL_SET: i32 = -7;
const BAD_DISTANCE_SET: i32 = -8;
const BAD_LITERAL: i32 = -9;
const BAD_DISTANCE: i32 = -10;
const TOO_FAR_BACK: i32 = -11;

/** One turn of the fast loop reads 22 bytes at most, and makes 3 literals, or a match after 2. */
const FAST_INPUT: usize = 24;
const FAST_LITERALS: usize = 3;

const BETWEEN_BLOCKS: i32 = 0;
const IN_STORED: i32 = 1;
const IN_CODES: i32 = 2;
let state: i32 = BETWEEN_BLOCKS;
let last: bool = false; // this block is the stream's last
let fixedBuilt: bool = false; // the tables are those of a block with fixed codes
let storedLeft: usize = 0;

let next: usize = INPUT; // first input byte that is not in `bits`
let inputEnd: usize = INPUT;
let bits: u64 = 0; // input bits, the next one lowest
let bitCount: u64 = 0;

let out: usize = OUTPUT;
let outEnd: usize = OUTPUT;
let oldest: usize = OUTPUT; // how far back a distance may reach

// A symbol that was read but not, or not completely, written. As in zlib, one more symbol is read
// when the output is full.
let heldLength: usize = 0;
let heldDistance: usize = 0; // 0 for a literal
let heldLiteral: u8 = 0;

export function inputAt(): usize {
  return INPUT;
}
export function inputSize(): usize {
  return INPUT_SIZE;
}
export function outputSize(): usize {
  return OUTPUT_SIZE;
}

/** Starts a stream at the next bit of input, with `windowSize` bytes of window before OUTPUT. */
export function begin(windowSize: usize): void {
  prepare();
  returnBytes();
  bits = 0;
  bitCount = 0;
  state = BETWEEN_BLOCKS;
  last = false;
  fixedBuilt = false;
  heldLength = 0;
  out = OUTPUT;
  oldest = OUTPUT - windowSize;
}

/** Puts `count` bits (fewer than 8) before the input. */
export function prime(count: u64, value: u64): void {
  bits = value & ((1 << count) - 1);
  bitCount = count;
}

/** Puts whole bytes of the bit buffer back; returns the address of the first unused byte. */
export function returnBytes(): usize {
  next -= <usize>(bitCount >> 3);
  bitCount &= 7;
  bits &= (1 << bitCount) - 1;
  return next;
}

/** Sets where the input is; bytes that returnBytes() gave back must come first. */
export function setInput(start: usize, end: usize): void {
  next = start;
  inputEnd = end;
}

/** Drops the bits up to the next byte: what follows is not deflate. */
export function dropBits(): void {
  returnBytes();
  bits = 0;
  bitCount = 0;
}

export function unusedBits(): i32 {
  return <i32>(bitCount & 7);
}

export function outputEnd(): usize {
  return out;
}

/** How many bytes there are before outputEnd(), up to 32 KiB. */
export function windowSize(): usize {
  const size = out - oldest;
  return size < WINDOW_SIZE ? size : WINDOW_SIZE;
}

/** Lets run() make `count` more bytes, or as many as fit; to be called before it. */
export function allow(count: usize): void {
  const room = OUTPUT + OUTPUT_SIZE - out;
  outEnd = out + (count < room ? count : room);
}

/** Forgets all output except the window, so that there is room again. */
export function slide(): void {
  const size = windowSize();
  memory.copy(OUTPUT - size, out - size, size);
  out = OUTPUT;
  oldest = OUTPUT - size;
}

/** Inflates until there is a reason to stop, or something is wrong. */
export function run(): i32 {
  while (true) {
    let status = GO_ON;
    if (state == BETWEEN_BLOCKS) {
      if (last) return STREAM_END;
      status = header();
    } else if (state == IN_STORED) {
      status = stored();
    } else {
      status = codes();
    }
    if (status == GO_ON) continue;
    if (status == BLOCK_END) {
      state = BETWEEN_BLOCKS;
      if (last) return STREAM_END;
    }
    return status;
  }
}

function fill(): void {
  while (bitCount <= 56 && next < inputEnd) {
    bits |= (<u64>load<u8>(next)) << bitCount;
    next++;
    bitCount += 8;
  }
}

function drop(count: u64): void {
  bits >>= count;
  bitCount -= count;
}

/** Reads a block's header; if the input ends within it, it is as if nothing had been read. */
function header(): i32 {
  returnBytes();
  const startNext = next;
  const startBits = bits;
  const startCount = bitCount;
  const status = readHeader();
  if (status == NEED_INPUT) {
    next = startNext;
    bits = startBits;
    bitCount = startCount;
  }
  return status;
}

function readHeader(): i32 {
  fill();
  if (bitCount < 3) return NEED_INPUT;
  const isLast = (bits & 1) != 0;
  const type = <i32>((bits >> 1) & 3);
  drop(3);
  if (type == 3) return BAD_BLOCK_TYPE;
  if (type == 0) {
    drop(bitCount & 7);
    fill();
    if (bitCount < 32) return NEED_INPUT;
    const length = <u32>(bits & 0xffff);
    if ((length ^ (<u32>((bits >> 16) & 0xffff))) != 0xffff) return BAD_STORED_LENGTH;
    drop(32);
    returnBytes();
    storedLeft = length;
    state = IN_STORED;
  } else {
    if (type == 2) {
      const status = readCodes();
      if (status != GO_ON) return status;
      fixedBuilt = false;
    } else if (!fixedBuilt) {
      buildFixed();
      fixedBuilt = true;
    }
    state = IN_CODES;
  }
  last = isLast;
  return GO_ON;
}

/** Reads the codes of a block that defines its own (RFC 1951, 3.2.7). */
function readCodes(): i32 {
  fill();
  if (bitCount < 14) return NEED_INPUT;
  const literalCount = <u32>(bits & 31) + 257;
  const distanceCount = <u32>((bits >> 5) & 31) + 1;
  const precodeCount = <u32>((bits >> 10) & 15) + 4;
  drop(14);
  if (literalCount > 286 || distanceCount > 30) return TOO_MANY_SYMBOLS;

  const order = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);
  memory.fill(LENGTHS, 0, 19);
  for (let i: u32 = 0; i < precodeCount; i++) {
    if (bitCount < 3) fill();
    if (bitCount < 3) return NEED_INPUT;
    store<u8>(LENGTHS + <usize>load<u8>(order + i), <u8>(bits & 7));
    drop(3);
  }
  if (!build(LENGTHS, 19, PRECODE_KIND)) return BAD_CODE_LENGTHS;

  const total = literalCount + distanceCount;
  let i: u32 = 0;
  while (i < total) {
    if (bitCount < 14) fill();
    const entry = load<u32>(PRECODE_TABLE + ((<usize>(bits & ((1 << PRECODE_BITS) - 1))) << 2));
    const length = <u64>(entry & 0xff);
    const symbol = entry >> 16;
    if (symbol < 16) {
      if (bitCount < length) return NEED_INPUT;
      drop(length);
      store<u8>(LENGTHS + i, <u8>symbol);
      i++;
      continue;
    }
    const extra: u64 = symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
    if (bitCount < length + extra) return NEED_INPUT;
    const repeat = (symbol == 18 ? 11 : 3) + <u32>((bits >> length) & ((1 << extra) - 1));
    drop(length + extra);
    if (symbol == 16 && i == 0) return BAD_REPEAT;
    if (i + repeat > total) return BAD_REPEAT;
    memory.fill(LENGTHS + i, symbol == 16 ? load<u8>(LENGTHS + i - 1) : 0, repeat);
    i += repeat;
  }
  if (load<u8>(LENGTHS + 256) == 0) return NO_END_OF_BLOCK;
  if (!build(LENGTHS, literalCount, LITERALS)) return BAD_LITERAL_SET;
  if (!build(LENGTHS + literalCount, distanceCount, DISTANCES)) return BAD_DISTANCE_SET;
  return GO_ON;
}

function stored(): i32 {
  while (storedLeft > 0) {
    if (out >= outEnd) return OUTPUT_FULL;
    let size = min<usize>(storedLeft, inputEnd - next);
    if (size == 0) return NEED_INPUT;
    size = min<usize>(size, outEnd - out);
    memory.copy(out, next, size);
    out += size;
    next += size;
    storedLeft -= size;
  }
  return BLOCK_END;
}

/** Decodes the block's symbols: fast while input and output have room, else one by one. */
function codes(): i32 {
  while (true) {
    if (!release()) return OUTPUT_FULL;
    let status = GO_ON;
    if (next + FAST_INPUT < inputEnd && out + FAST_LITERALS <= outEnd) status = fast();
    if (status == GO_ON && heldLength == 0) status = symbol();
    if (status == GO_ON) continue;
    if (status == BLOCK_END) returnBytes();
    return status;
  }
}

/** Writes the held symbol as far as there is room; false if something is left. */
function release(): bool {
  while (heldLength > 0) {
    if (out >= outEnd) return false;
    store<u8>(out, heldDistance == 0 ? heldLiteral : load<u8>(out - heldDistance));
    out++;
    heldLength--;
  }
  return true;
}

/** The entry for the next code; INVALID if too few bits are left to tell. */
function lookUp(table: usize, tableBits: u32): u32 {
  const entry = load<u32>(table + ((<usize>(bits & ((1 << tableBits) - 1))) << 2));
  if ((entry & (SPECIAL | SUBTABLE)) != (SPECIAL | SUBTABLE)) return entry;
  if (bitCount < tableBits) return INVALID;
  const rest = (<usize>(bits >> tableBits)) & ((1 << ((entry >> 8) & 15)) - 1);
  return (
    load<u32>(table + ((((entry >> 16) & 0x7fff) + rest) << 2)) + ((tableBits << 8) | tableBits)
  );
}

/** Reads and holds one symbol; if the input ends within it, it is as if nothing had been read. */
function symbol(): i32 {
  returnBytes();
  const startNext = next;
  const startBits = bits;
  const startCount = bitCount;
  fill();
  const status = readSymbol();
  if (status == NEED_INPUT) {
    next = startNext;
    bits = startBits;
    bitCount = startCount;
  }
  return status;
}

function readSymbol(): i32 {
  let entry = lookUp(LITERAL_TABLE, LITERAL_BITS);
  // no code is longer than 15 bits: with fewer at hand, a missing one is no error yet
  if (entry == INVALID) return bitCount < 15 ? NEED_INPUT : BAD_LITERAL;
  if (bitCount < (entry & 63)) return NEED_INPUT;
  const from = bits;
  drop(entry & 63);
  if (entry & LITERAL) {
    heldLiteral = <u8>(entry >> 16);
    heldDistance = 0;
    heldLength = 1;
    return GO_ON;
  }
  if (entry & SPECIAL) return entry & END_OF_BLOCK ? BLOCK_END : BAD_LITERAL;
  const length = valueOf(from, entry);

  entry = lookUp(DISTANCE_TABLE, DISTANCE_BITS);
  if (entry & SPECIAL) return bitCount < 15 ? NEED_INPUT : BAD_DISTANCE;
  if (bitCount < (entry & 63)) return NEED_INPUT;
  const distance = valueOf(bits, entry);
  drop(entry & 63);
  if (distance > out - oldest) return TOO_FAR_BACK;
  heldLength = length;
  heldDistance = distance;
  return GO_ON;
}

/** The length or distance of an entry plus extra bits; `from` are the bits from its code on. */
function valueOf(from: u64, entry: u64): usize {
  return <usize>(entry >> 16) + <usize>((from & ((1 << entry) - 1)) >> ((entry >> 8) & 15));
}

/**
 * The fast loop. One turn decodes up to three literals, or a match after up to two; its first entry
 * was looked up at the end of the turn before, while that copied. At its start there are at least
 * 56 bits, enough for three codes, or for two and a length with its extra bits. Copies are made in
 * words and may write past the match's end, where there is nothing yet.
 *
 * Shifts use only the lowest six bits of a count, so an entry can serve as one unchanged; `c` has
 * the number of bits in its lowest byte, and anything above.
 */
function fast(): i32 {
  let p = next;
  let o = out;
  let b = bits;
  let c = bitCount;
  let status = GO_ON;
  const pEnd = inputEnd - FAST_INPUT;
  const oEnd = outEnd - FAST_LITERALS;
  const from = oldest;
  b |= load<u64>(p) << c;
  p += 7 - <usize>((c >> 3) & 7);
  c |= 56;
  let entry: u64 = load<u32>(LITERAL_TABLE + (((<usize>b) & 0x7ff) << 2));
  let before = b; // bits from the entry's code on
  while (p < pEnd && o <= oEnd) {
    before = b;
    b >>= entry;
    c -= entry;
    if (entry & LITERAL) {
      store<u8>(o, <u8>(entry >> 16));
      o++;
      entry = load<u32>(LITERAL_TABLE + (((<usize>b) & 0x7ff) << 2));
      before = b;
      b >>= entry;
      c -= entry;
      if (entry & LITERAL) {
        store<u8>(o, <u8>(entry >> 16));
        o++;
        entry = load<u32>(LITERAL_TABLE + (((<usize>b) & 0x7ff) << 2));
        before = b;
        b >>= entry;
        c -= entry;
        if (entry & LITERAL) {
          store<u8>(o, <u8>(entry >> 16));
          o++;
          b |= load<u64>(p) << c;
          p += 7 - <usize>((c >> 3) & 7);
          c |= 56;
          entry = load<u32>(LITERAL_TABLE + (((<usize>b) & 0x7ff) << 2));
          continue;
        }
      }
    }
    if (entry & SPECIAL) {
      if (entry & SUBTABLE) {
        const rest = b & ((1 << ((entry >> 8) & 15)) - 1);
        entry = load<u32>(LITERAL_TABLE + ((<usize>(((entry >> 16) & 0x7fff) + rest)) << 2));
        before = b;
        b >>= entry;
        c -= entry;
        if (entry & LITERAL) {
          store<u8>(o, <u8>(entry >> 16));
          o++;
          b |= load<u64>(p) << c;
          p += 7 - <usize>((c >> 3) & 7);
          c |= 56;
          entry = load<u32>(LITERAL_TABLE + (((<usize>b) & 0x7ff) << 2));
          continue;
        }
      }
      if (entry & SPECIAL) {
        status = entry & END_OF_BLOCK ? BLOCK_END : BAD_LITERAL;
        break;
      }
    }
    const length = valueOf(before, entry);

    if ((c & 63) < 28) {
      b |= load<u64>(p) << c;
      p += 7 - <usize>((c >> 3) & 7);
      c |= 56;
    }
    entry = load<u32>(DISTANCE_TABLE + (((<usize>b) & 0x1ff) << 2));
    if (entry & SPECIAL) {
      if (entry & SUBTABLE) {
        b >>= <u64>DISTANCE_BITS;
        c -= <u64>DISTANCE_BITS;
        const rest = b & ((1 << ((entry >> 8) & 15)) - 1);
        entry = load<u32>(DISTANCE_TABLE + ((<usize>(((entry >> 16) & 0x7fff) + rest)) << 2));
      }
      if (entry & SPECIAL) {
        status = BAD_DISTANCE;
        break;
      }
    }
    const distance = valueOf(b, entry);
    b >>= entry;
    c -= entry;
    if (distance > o - from) {
      status = TOO_FAR_BACK;
      break;
    }
    const end = o + length;
    if (end > outEnd) {
      heldLength = length;
      heldDistance = distance;
      break;
    }
    b |= load<u64>(p) << c;
    p += 7 - <usize>((c >> 3) & 7);
    c |= 56;
    entry = load<u32>(LITERAL_TABLE + (((<usize>b) & 0x7ff) << 2));

    let source = o - distance;
    if (distance >= 16) {
      v128.store(o, v128.load(source));
      if (length > 16) {
        do {
          o += 16;
          source += 16;
          v128.store(o, v128.load(source));
        } while (o + 16 < end);
      }
    } else if (distance >= 8) {
      do {
        store<u64>(o, load<u64>(source));
        o += 8;
        source += 8;
      } while (o < end);
    } else if (distance == 1) {
      const run = v128.splat<u8>(load<u8>(source));
      do {
        v128.store(o, run);
        o += 16;
      } while (o < end);
    } else {
      do {
        store<u8>(o, load<u8>(source));
        o++;
        source++;
      } while (o < end);
    }
    o = end;
  }
  next = p;
  out = o;
  bits = b;
  bitCount = c & 63;
  return status;
}
