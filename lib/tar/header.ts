/** Headers of tars, read and made. */

import { RafsError, located } from '../errors.js';
import type { ValueOf } from '../layout/struct.js';
import {
  UstarHeader,
  BLOCK_SIZE,
  SectionHeader,
  TarType,
  PaxHeader,
  readOctal,
  readNumber,
} from '../layout/tar.js';

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
  if (!checkHeader(buf, at)) throw new RafsError('CORRUPT', 'blank tar header', { offset: at });
  return { name, size };
};

/**
 * A POSIX header. LIMIT for what does not fit; numbers become base-256 where they must. Fields are
 * best given as one literal: objects that a spread makes take four times as long to encode.
 */
export const ustarHeader = (fields: ValueOf<typeof UstarHeader>): Buffer =>
  sealed(UstarHeader.encode(fields), 6, '\0 ');

/** A header that says no more than it must: of nobody, and of the beginning of time. */
export const bareHeader = (name: string, type: string, mode: number, size: number): Buffer =>
  ustarHeader({
    name,
    mode,
    uid: 0,
    gid: 0,
    size,
    mtime: 0,
    type,
    linkName: '',
    userName: '',
    groupName: '',
    devMajor: 0,
    devMinor: 0,
    prefix: '',
  });

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
  throw new RafsError('CORRUPT', `invalid tar header checksum: expected ${due}, got ${shown}`);
};

/** The same for a block that lies at `offset` in its tar. */
export const headerIn = (buf: Buffer, at: number, offset: number): boolean => {
  try {
    return checkHeader(buf, at);
  } catch (error) {
    throw located(error, { offset });
  }
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

/** Size of a body; fails with CORRUPT if it is not a valid size. */
export const sizeIn = (
  header: HeaderFields,
  offset: number,
  path: string,
  pax?: number,
): number => {
  const size = pax ?? header.size;
  if (size >= 0 && Number.isSafeInteger(size)) return size;
  const shown = Number.isNaN(size) ? 'no number' : String(size);
  throw new RafsError('CORRUPT', `invalid size in a tar header: ${shown}`, { path, offset });
};
