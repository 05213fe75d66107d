/**
 * LZ4 block coder (the raw block format, no frame, no size in front).
 *
 * Compressed bytes must be those of LZ4 1.10's LZ4_compress_default on a 64-bit little-endian
 * machine, since a blob is named by the digest of its content. This fixes the table's size, its
 * hashes, which positions enter it and how fast the search gives up on data without matches.
 */

/** u32[4096] or u16[8192]: last position seen with a hash. */
const TABLE: usize = 0x10000;
const TABLE_SIZE: usize = 0x4000;
/** The input starts here; the output where the caller says. */
const INPUT: usize = 0x18000;

const MIN_MATCH: usize = 4;
/** The block format's rule: the last match starts this far before the end or farther ... */
const LAST_MATCH: usize = 12;
/** ... and the last bytes are literals. */
const LAST_LITERALS: usize = 5;
const MAX_DISTANCE: usize = 0xffff;
/** From this size on positions need 32 bits, and the table is hashed by 5 bytes rather than 4. */
const WIDE: usize = 0x10000 + LAST_MATCH - 1;
/** After this many misses in a row the search takes longer steps. */
const MISSES_A_STEP: usize = 6; // as a power of two

export function inputAt(): usize {
  return INPUT;
}

/** Slot in the table for what lies at `at`: by 4 bytes if positions are u16, by 5 if u32. */
function slotOf<P>(at: usize): usize {
  return sizeof<P>() == 4
    ? (<usize>(((load<u64>(at) << 24) * 889523592379) >> 52)) << 2
    : (<usize>((load<u32>(at) * 2654435761) >> 19)) << 1;
}

/** Whether `at` and the earlier `match` begin alike and are close enough for a match. */
function matches<P>(match: usize, at: usize): bool {
  if (sizeof<P>() == 4 && match + MAX_DISTANCE < at) return false;
  return load<u32>(match) == load<u32>(at);
}

/** How many bytes from `a` on equal those from `b` on; `a` stops at `end`. */
function equalBytes(a: usize, b: usize, end: usize): usize {
  const start = a;
  while (a + 8 <= end) {
    const difference = load<u64>(a) ^ load<u64>(b);
    if (difference != 0) return a - start + <usize>(ctz<u64>(difference) >> 3);
    a += 8;
    b += 8;
  }
  while (a < end && load<u8>(a) == load<u8>(b)) {
    a++;
    b++;
  }
  return a - start;
}

/** Writes the part of a length beyond 15, as bytes of 255 and a smaller one; returns their end. */
function putLength(at: usize, rest: usize): usize {
  for (; rest >= 255; rest -= 255) {
    store<u8>(at, 255);
    at++;
  }
  store<u8>(at, <u8>rest);
  return at + 1;
}

/** Copies 16 bytes at a time; may write up to 16 bytes too many. */
function copyWords(to: usize, from: usize, size: usize): void {
  const end = to + size;
  do {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  } while (to < end);
}

/** Compresses `size` bytes; returns the size of the block at `output`. */
export function compress(size: usize, output: usize): usize {
  return size < WIDE ? search<u16>(size, output) : search<u32>(size, output);
}

function search<P>(size: usize, output: usize): usize {
  const end = INPUT + size;
  let out = output;
  let anchor = INPUT; // first byte that is not in a sequence yet
  if (size > LAST_MATCH) {
    const searchEnd = end - LAST_MATCH; // last place where a match may start
    const matchEnd = end - LAST_LITERALS;
    memory.fill(TABLE, 0, TABLE_SIZE); // this enters the first position, 0, too
    let at = INPUT + 1;
    let ahead = slotOf<P>(at);
    while (true) {
      let match: usize;
      let next = at;
      let step: usize = 1;
      let misses: usize = 1 << MISSES_A_STEP;
      let found = false;
      do {
        const slot = ahead;
        at = next;
        next += step;
        step = misses >> MISSES_A_STEP;
        misses++;
        if (next > searchEnd + 1) {
          match = 0;
          break;
        }
        match = INPUT + load<P>(TABLE + slot);
        ahead = slotOf<P>(next);
        store<P>(TABLE + slot, <P>(at - INPUT));
        found = matches<P>(match, at);
      } while (!found);
      if (!found) break;
      while (at > anchor && match > INPUT && load<u8>(at - 1) == load<u8>(match - 1)) {
        at--;
        match--;
      }

      const literals = at - anchor;
      let token = out;
      out++;
      if (literals >= 15) {
        store<u8>(token, 0xf0);
        out = putLength(out, literals - 15);
      } else {
        store<u8>(token, <u8>(literals << 4));
      }
      copyWords(out, anchor, literals);
      out += literals;

      let more: bool;
      do {
        store<u16>(out, <u16>(at - match));
        out += 2;
        const length = equalBytes(at + MIN_MATCH, match + MIN_MATCH, matchEnd);
        at += length + MIN_MATCH;
        if (length >= 15) {
          store<u8>(token, load<u8>(token) + 15);
          out = putLength(out, length - 15);
        } else {
          store<u8>(token, load<u8>(token) + <u8>length);
        }
        anchor = at;
        if (at > searchEnd) break;

        // the next match may follow at once: a sequence without literals
        store<P>(TABLE + slotOf<P>(at - 2), <P>(at - 2 - INPUT));
        const slot = slotOf<P>(at);
        match = INPUT + load<P>(TABLE + slot);
        store<P>(TABLE + slot, <P>(at - INPUT));
        more = matches<P>(match, at);
        if (more) {
          token = out;
          store<u8>(token, 0);
          out++;
        }
      } while (more);
      if (at > searchEnd) break;
      at++;
      ahead = slotOf<P>(at);
    }
  }

  const literals = end - anchor;
  if (literals >= 15) {
    store<u8>(out, 0xf0);
    out = putLength(out + 1, literals - 15);
  } else {
    store<u8>(out, <u8>(literals << 4));
    out++;
  }
  memory.copy(out, anchor, literals);
  return out + literals - output;
}

/** Not a block, or not one of the requested size. */
const MALFORMED: isize = -1;

/** Where getLength() reads; it moves this past the length, or past `end` if the block is cut. */
let lengthAt: usize = 0;
function getLength(end: usize): usize {
  let length: usize = 0;
  while (lengthAt < end) {
    const byte = load<u8>(lengthAt);
    lengthAt++;
    length += byte;
    if (byte != 255) return length;
  }
  lengthAt = end + 1;
  return length;
}

/**
 * Decompresses the block of `size` bytes to exactly `outputSize` bytes at `output`; returns 0, or a
 * negative number if it is not such a block. Reads and writes in words, up to 32 bytes past the
 * ends.
 */
export function decompress(size: usize, output: usize, outputSize: usize): isize {
  const end = INPUT + size;
  const outputEnd = output + outputSize;
  let at = INPUT;
  let out = output;
  while (at < end) {
    const token = <usize>load<u8>(at);
    at++;
    let literals = token >> 4;
    if (literals == 15) {
      lengthAt = at;
      literals += getLength(end);
      at = lengthAt;
      if (at > end) return MALFORMED;
    }
    if (literals > end - at || literals > outputEnd - out) return MALFORMED;
    if (literals <= 32) {
      copyWords(out, at, literals);
    } else {
      memory.copy(out, at, literals);
    }
    at += literals;
    out += literals;
    // only the last sequence ends with its literals
    if (at == end) return out == outputEnd ? 0 : MALFORMED;
    if (outputEnd - out < LAST_MATCH || end - at < 2) return MALFORMED;

    const distance = <usize>load<u16>(at);
    at += 2;
    if (distance == 0 || distance > out - output) return MALFORMED;
    let length = token & 15;
    if (length == 15) {
      lengthAt = at;
      length += getLength(end);
      at = lengthAt;
      if (at > end) return MALFORMED;
    }
    length += MIN_MATCH;
    if (length > outputEnd - LAST_LITERALS - out) return MALFORMED;
    copyMatch(out, distance, length);
    out += length;
  }
  return MALFORMED;
}

function copyMatch(out: usize, distance: usize, length: usize): void {
  let from = out - distance;
  if (distance >= 16) {
    copyWords(out, from, length);
    return;
  }
  const end = out + length;
  if (distance >= 8) {
    for (; out < end; out += 8, from += 8) store<u64>(out, load<u64>(from));
    return;
  }
  for (; out < end; out++, from++) store<u8>(out, load<u8>(from));
}
