/**
 * The tar header: 512 bytes of text fields, in the flavours v7, ustar (POSIX) and GNU.
 *
 * Writers use the declared records. The reader takes fields straight from the block at the records'
 * offsets, because a layer has a hundred thousand headers and most fields are not needed.
 */
import { RafsError } from '../errors.js';
import { bytes, fixed, pad, struct, text, u8, type Field, type ValueOf } from './struct.js';

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
const number = (size: number): Field<number> => ({
  size,
  read(buf, at) {
    const value = readNumber(buf, at, size);
    if (Number.isSafeInteger(value)) return value;
    throw new RafsError('CORRUPT', `${JSON.stringify(text(size).read(buf, at))} is not a number`);
  },
  write(buf, at, value) {
    if (!(value >= 0 && Number.isSafeInteger(value))) {
      throw new RafsError('LIMIT', `${value} is not a number from 0 to 2^53 - 1`);
    }
    let left = value;
    for (let i = size - 2; i >= 0; i--) {
      buf[at + i] = 0x30 + (left % 8);
      left = Math.floor(left / 8);
    }
    buf[at + size - 1] = 0;
    if (left === 0) return;
    for (let i = size - 1; i >= 0; i--) {
      buf[at + i] = value % 0x100;
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
  mtime: number(12),
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
const PaxHeader = struct('PaxHeader', 512, {
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
const SectionHeader = struct('SectionHeader', 512, {
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

const AT = UstarHeader.offsets;
const CHECKSUM_SIZE = UstarHeader.offsets.type - UstarHeader.offsets.checksum;
const BLANK = 0x20;

/** Sum of all bytes of a block. */
const sumOf = (buf: Buffer, at: number): number => {
  let sum = 0;
  const end = at + BLOCK_SIZE;
  for (let i = at; i < end; i += 4) sum += buf[i]! + buf[i + 1]! + buf[i + 2]! + buf[i + 3]!;
  return sum;
};

/** Added to a sum of all bytes, makes one in which the checksum field counts as blanks. */
const fieldDifference = (buf: Buffer, at: number): number => {
  let difference = CHECKSUM_SIZE * BLANK;
  for (let i = 0; i < CHECKSUM_SIZE; i++) difference -= buf[at + AT.checksum + i]!;
  return difference;
};

/** Sets the checksum of a header whose other fields are set. */
const sealed = (header: Buffer, digits: number, tail: string): Buffer => {
  const sum = sumOf(header, 0) + fieldDifference(header, 0);
  header.write(`${sum.toString(8).padStart(digits, '0')}${tail}`, AT.checksum, 'latin1');
  return header;
};

/** The 512 bytes after a section of a blob: its name and size, to be found from the blob's end. */
export const sectionHeader = (name: string, size: number): Buffer =>
  sealed(SectionHeader.encode({ name, size, mtime: 0 }), 7, '\0');

/** Name and size of the section that a header follows; CORRUPT if it is no such header. */
export const readSectionHeader = (buf: Buffer, at = 0): { name: string; size: number } => {
  const { name, size } = SectionHeader.decode(buf, at);
  if (!checkHeader(buf, at)) throw new RafsError('CORRUPT', 'a blank header', { offset: at });
  return { name, size };
};

/**
 * A POSIX header. LIMIT for what does not fit; numbers become base-256 where they must. Fields are
 * best given as one literal: objects that a spread makes take four times as long to encode.
 */
export const ustarHeader = (fields: ValueOf<typeof UstarHeader>): Buffer =>
  sealed(UstarHeader.encode(fields), 6, '\0 ');

/** Header of `size` bytes of PAX records for the entry after them. */
export const paxHeader = (name: string, size: number): Buffer => {
  const type = TarType.PAX;
  const owner = { mode: 0o644, uid: 0, gid: 0, mtime: 0, linkName: '' };
  return sealed(PaxHeader.encode({ ...owner, name, size, type }), 6, '\0 ');
};

/**
 * Whether there is a header at `at`: false for a block of zeros, CORRUPT for a wrong checksum.
 * Sums of signed bytes, as some old writers made them, are accepted too.
 */
export const checkHeader = (buf: Buffer, at: number): boolean => {
  const sum = sumOf(buf, at);
  if (sum === 0) return false;
  const found = readOctal(buf, at + AT.checksum, CHECKSUM_SIZE);
  const due = sum + fieldDifference(buf, at);
  if (found === due) return true;
  let signed = due;
  for (let i = 0; i < BLOCK_SIZE; i++) {
    const inField = i >= AT.checksum && i < AT.checksum + CHECKSUM_SIZE;
    if (!inField && buf[at + i]! > 0x7f) signed -= 0x100;
  }
  if (found === signed) return true;
  const shown = Number.isNaN(found) ? 'no number' : String(found);
  throw new RafsError('CORRUPT', `the checksum of a tar header is ${shown}, not ${due}`);
};

/** Text up to the first NUL, at most `size` bytes. */
const readText = (buf: Buffer, at: number, size: number): string => {
  const most = at + size;
  let end = at;
  while (end < most && buf[end] !== 0) end++;
  return end === at ? '' : buf.toString('latin1', at, end);
};

export type TarFlavour = 'v7' | 'ustar' | 'gnu';

/** POSIX and GNU headers differ from the sixth byte of their magic on. */
const flavourOf = (buf: Buffer, at: number): TarFlavour => {
  const magic = at + AT.magic;
  const ustar =
    buf[magic] === 0x75 &&
    buf[magic + 1] === 0x73 &&
    buf[magic + 2] === 0x74 &&
    buf[magic + 3] === 0x61 &&
    buf[magic + 4] === 0x72;
  if (!ustar) return 'v7';
  if (buf[magic + 5] === 0) return 'ustar';
  return buf[magic + 5] === BLANK && buf[magic + 6] === BLANK ? 'gnu' : 'v7';
};

/** Fields that every entry needs; numbers are NaN where the field holds none. */
export interface HeaderFields {
  type: string;
  flavour: TarFlavour;
  /** includes the prefix of a POSIX header */
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
}

/** Reads a header whose checksum was checked. */
export const readHeader = (buf: Buffer, at: number): HeaderFields => {
  const flavour = flavourOf(buf, at);
  let name = readText(buf, at + AT.name, 100);
  if (flavour === 'ustar' && buf[at + AT.prefix] !== 0) {
    name = `${readText(buf, at + AT.prefix, 155)}/${name}`;
  }
  return {
    type: String.fromCharCode(buf[at + AT.type]!),
    flavour,
    name,
    mode: readOctal(buf, at + AT.mode, 8),
    uid: readNumber(buf, at + AT.uid, 8),
    gid: readNumber(buf, at + AT.gid, 8),
    size: readNumber(buf, at + AT.size, 12),
    mtime: readNumber(buf, at + AT.mtime, 12),
  };
};

export const readLinkName = (buf: Buffer, at: number): string =>
  readText(buf, at + AT.linkName, 100);

/**
 * Device number as in the low 32 bits of glibc's dev_t; blank fields are 0, as GNU tar leaves them
 * for FIFOs. NaN where a field holds no number. v7 headers have no such fields.
 */
export const readDevice = (buf: Buffer, at: number, flavour: TarFlavour): number => {
  if (flavour === 'v7') return 0;
  const major = readNumber(buf, at + AT.devMajor, 8);
  const minor = readNumber(buf, at + AT.devMinor, 8);
  if (!(major >= 0 && major < 2 ** 32 && minor >= 0 && minor < 2 ** 32)) return NaN;
  return makeDevice(major, minor);
};

export const makeDevice = (major: number, minor: number): number =>
  (((major & 0xfff) << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12)) >>> 0;

export const deviceMajor = (device: number): number => (device >>> 8) & 0xfff;
export const deviceMinor = (device: number): number =>
  ((device >>> 12) & 0xfff00) | (device & 0xff);

const UNPLAIN = /(?:^|\/)\.{0,2}(?:\/|$)/; // an empty, '.' or '..' component

/** Whether a path has a component that is empty, '.' or '..'; '' has. */
export const isUnplainPath = (path: string): boolean => UNPLAIN.test(path);

/**
 * A name in a tar as the path of an entry: without leading '/' and './', without '.' components
 * and doubled or trailing slashes; '' is the root. CORRUPT if it has a '..' or a NUL.
 */
export const normalPath = (name: string): string => {
  const from = name.charCodeAt(0) === 0x2e && name.charCodeAt(1) === 0x2f ? 2 : 0;
  const to = name.charCodeAt(name.length - 1) === 0x2f ? name.length - 1 : name.length;
  const plain = name.slice(from, to);
  if (!UNPLAIN.test(plain)) {
    if (plain.includes('\0')) throw new RafsError('CORRUPT', 'a path has a NUL', { path: name });
    return plain;
  }
  const parts = name.split('/').filter(part => part !== '' && part !== '.');
  if (parts.includes('..')) {
    throw new RafsError('CORRUPT', `'${name}' leads out of the layer`, { path: name });
  }
  const path = parts.join('/');
  if (path.includes('\0')) throw new RafsError('CORRUPT', 'a path has a NUL', { path });
  return path;
};
