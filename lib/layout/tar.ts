/**
 * The tar header: 512 bytes of text fields, in the flavours v7, ustar (POSIX) and GNU.
 *
 * Writers use the declared records. The reader takes fields straight from the block at the records'
 * offsets, because a layer has a hundred thousand headers and most fields are not needed.
 */
import { RafsError } from '../errors.js';
import { bytes, fixed, pad, struct, text, u8 } from './struct.js';
import type { Field } from './struct-code.js';

export const BLOCK_SIZE = 512;

/** Kinds of headers by their type byte. */
export const TarType = {
  OLD_FILE: '\0',
  FILE: '0',
  HARDLINK: '1',
  SYMLINK: '2',
  CHAR: '3',
  BLOCK: '4',
  DIRECTORY: '5',
  FIFO: '6',
  CONTIGUOUS: '7',
  PAX: 'x',
  PAX_GLOBAL: 'g',
  GNU_LONG_NAME: 'L',
  GNU_LONG_LINK: 'K',
  GNU_SPARSE: 'S',
  GNU_VOLUME: 'V',
} as const;

/** Octal text, possibly with blanks around it; NaN for anything else. All blank is 0. */
export const readOctal = (buf: Buffer, at: number, size: number): number => {
  const end = at + size;
  while (at < end && (buf[at] === 0x20 || buf[at] === 0)) at++;
  if (at === end) return 0;
  const first = at;
  let value = 0;
  for (; at < end; at++) {
    const digit = buf[at]! - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  // like GNU tar, ignores what follows the blank that ends the number
  return at > first && (at === end || buf[at] === 0 || buf[at] === 0x20) ? value : NaN;
};

/**
 * A number field: octal text or, where its first bit is set, base-256, big-endian in two's
 * complement. NaN for anything else; values over 2^53 are not exact.
 */
export const readNumber = (buf: Buffer, at: number, size: number): number => {
  const first = buf[at]!;
  if (first < 0x80) return readOctal(buf, at, size);
  let value = (first & 0x3f) - (first & 0x40);
  for (let i = 1; i < size; i++) value = value * 0x100 + buf[at + i]!;
  return value;
};

/** A number as octal digits and a NUL, or in base-256 if it has too many digits. */
const number = (size: number, { signed = false } = {}): Field<number> => ({
  size,
  read(buf, at) {
    const value = readNumber(buf, at, size);
    if (Number.isSafeInteger(value)) return value;
    throw new RafsError('CORRUPT', `${JSON.stringify(text(size).read(buf, at))} is not a number`);
  },
  write(buf, at, value) {
    if (!Number.isSafeInteger(value) || (value < 0 && !signed)) {
      const least = signed ? '1 - 2^53' : '0';
      throw new RafsError('LIMIT', `${value} is not a number from ${least} to 2^53 - 1`);
    }
    let left = Math.max(value, 0);
    for (let i = size - 2; i >= 0; i--) {
      buf[at + i] = 0x30 + (left % 8);
      left = Math.floor(left / 8);
    }
    buf[at + size - 1] = 0;
    if (left === 0 && value >= 0) return;
    for (let i = size - 1; i >= 0; i--) {
      buf[at + i] = value % 0x100; // of a negative number, its two's complement
      value = Math.floor(value / 0x100);
    }
    buf[at]! |= 0x80;
  },
});

const start = {
  name: text(100),
  mode: number(8),
  uid: number(8),
  gid: number(8),
  size: number(12),
  mtime: number(12, { signed: true }),
  checksum: pad(8), // set by `sealed`
  type: text(1),
  linkName: text(100),
} as const;

/** POSIX header. */
export const UstarHeader = struct('UstarHeader', 512, {
  ...start,
  magic: fixed(text(6), 'ustar'),
  version: fixed(text(2), '00'),
  userName: text(32),
  groupName: text(32),
  devMajor: number(8),
  devMinor: number(8),
  prefix: text(155),
  rest: pad(12),
});

/** POSIX header of a list of PAX records: device fields are left blank. */
export const PaxHeader = struct('PaxHeader', 512, {
  ...start,
  magic: fixed(text(6), 'ustar'),
  version: fixed(text(2), '00'),
  rest: pad(247),
});

/** GNU header of a sparse file: in place of POSIX's prefix it has times and the start of a map. */
export const GnuSparseHeader = struct('GnuSparseHeader', 512, {
  others: pad(386), // as in UstarHeader up to the device numbers, then times, which are not needed
  sparse: bytes(4 * 24), // records of SparseExtent
  extended: u8, // a SparseExtension follows
  realSize: number(12),
  rest: pad(17),
});

/** More of a GNU sparse map, after its header. */
export const SparseExtension = struct('SparseExtension', 512, {
  sparse: bytes(21 * 24),
  extended: u8,
  rest: pad(7),
});

/** A run of stored bytes in a GNU sparse map. */
export const SparseExtent = struct('SparseExtent', 24, { offset: number(12), size: number(12) });

/** Header after a section of a blob: GNU, with everything that is not needed left blank. */
export const SectionHeader = struct('SectionHeader', 512, {
  name: text(100),
  blank: pad(24), // mode, uid, gid
  size: number(12),
  mtime: number(12),
  checksum: pad(8),
  type: fixed(text(1), TarType.FILE),
  linkName: pad(100),
  magic: fixed(text(8), 'ustar  '),
  rest: pad(247),
});
