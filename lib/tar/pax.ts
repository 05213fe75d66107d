/**
 * PAX records: `length key=value\n`, where the length counts the whole record. They are read by
 * that length, since values are bytes and may hold newlines and NULs.
 */
import { RafsError } from '../errors.js';
import { XATTR_PREFIXES } from '../layout/rafs.js';

export interface PaxRecord {
  /** latin1 string */
  key: string;
  value: Buffer;
}

/** What a list of records says about an entry. Keys that are not listed here are ignored. */
export interface PaxAttributes {
  path?: string;
  linkPath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  /** whole seconds since 1970 */
  mtime?: number;
  /** by full name, from SCHILY.xattr records */
  xattrs?: ReadonlyMap<string, Buffer>;
  /** the same in bsdtar's form; one of these counts only if `xattrs` does not have its name */
  encodedXattrs?: ReadonlyMap<string, Buffer>;
  sparse?: PaxSparse;
}

/** Records of GNU.sparse, of all three versions. */
export interface PaxSparse {
  major?: number;
  minor?: number;
  name?: string;
  realSize?: number;
  /** offset and size, alternating */
  extents?: number[];
  extentCount?: number;
}

const XATTR = 'SCHILY.xattr.';
const ENCODED_XATTR = 'LIBARCHIVE.xattr.';
const SPARSE = 'GNU.sparse.';
/** GNU tar's record of an SELinux context, and the xattr that it stands for. */
const SELINUX = 'RHT.security.selinux';
const SELINUX_XATTR = 'security.selinux';
const KEY_LIMIT = 255;
const VALUE_LIMIT = 0xffff;
const NEWLINE = 0x0a;
const BLANK = 0x20;
const EQUALS = 0x3d;

/** Splits records; values are views of `body`. CORRUPT if a record does not end where it says. */
export const readPax = (body: Buffer): PaxRecord[] => {
  const records: PaxRecord[] = [];
  for (let at = 0; at < body.length;) {
    let cursor = at;
    let length = 0;
    for (; cursor < body.length && cursor - at < 10; cursor++) {
      const digit = body[cursor]! - 0x30;
      if (digit < 0 || digit > 9) break;
      length = length * 10 + digit;
    }
    const end = at + length;
    if (cursor === at || body[cursor] !== BLANK || end > body.length || end <= cursor + 1) {
      throw new RafsError('CORRUPT', 'a PAX record has an invalid length', {
        record: records.length,
      });
    }
    const equals = body.indexOf(EQUALS, cursor + 1);
    if (equals < 0 || equals >= end - 1 || equals === cursor + 1 || body[end - 1] !== NEWLINE) {
      throw new RafsError('CORRUPT', 'a PAX record is not key=value', { record: records.length });
    }
    records.push({
      key: body.toString('latin1', cursor + 1, equals),
      value: body.subarray(equals + 1, end - 1),
    });
    at = end;
  }
  return records;
};

/** Joins records, in their order. */
export const writePax = (records: readonly PaxRecord[]): Buffer => {
  const pieces: Buffer[] = [];
  for (const { key, value } of records) {
    const rest = key.length + value.length + 3; // blank, '=', newline
    let length = rest + String(rest).length;
    if (rest + String(length).length !== length) length = rest + String(length).length;
    pieces.push(Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n'));
  }
  return Buffer.concat(pieces);
};

const decimal = ({ key, value }: PaxRecord): number => {
  const text = value.toString('latin1');
  const number = Number(text);
  if (/^[0-9]+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new RafsError('CORRUPT', `PAX record ${key} is not a number: ${JSON.stringify(text)}`);
};

/** The whole seconds of a time, or undefined if it is none. */
const secondsIn = (value: Buffer): number | undefined => {
  const text = value.toString('latin1');
  const [, whole, fraction = ''] = /^(-?[0-9]{1,16})(?:\.([0-9]*))?$/.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const isLess = whole.startsWith('-') && /[1-9]/.test(fraction);
  const seconds = Number(whole) - (isLess ? 1 : 0) + 0; // no -0
  return Number.isSafeInteger(seconds) ? seconds : undefined;
};

const nameIn = ({ key, value }: PaxRecord): string => {
  if (value.includes(0)) throw new RafsError('CORRUPT', `PAX record ${key} contains a NUL`);
  return value.toString('latin1');
};

/**
 * Applies `records` over the defaults `base`, which are not changed. An empty value cancels a
 * default, except for an xattr, whose value may really be empty.
 * Of mtime, whole seconds count, and those of the header where it is no time.
 */
export const applyPax = (base: PaxAttributes, records: readonly PaxRecord[]): PaxAttributes => {
  const made: PaxAttributes = { ...base };
  let xattrs: Map<string, Buffer> | undefined;
  let encoded: Map<string, Buffer> | undefined;
  let selinux: Buffer | undefined;
  for (const record of records) {
    const { key, value } = record;
    switch (key) {
      case 'path':
        if (value.length > 0) made.path = nameIn(record);
        else delete made.path;
        break;
      case 'linkpath':
        if (value.length > 0) made.linkPath = nameIn(record);
        else delete made.linkPath;
        break;
      case 'mtime': {
        const mtime = secondsIn(value);
        if (mtime === undefined) delete made.mtime;
        else made.mtime = mtime;
        break;
      }
      case SELINUX:
        selinux = Buffer.concat([value, Buffer.of(0)]); // as libselinux sets it
        break;
      case 'size':
      case 'uid':
      case 'gid':
        if (value.length > 0) made[key] = decimal(record);
        else Reflect.deleteProperty(made, key);
        break;
      default:
        if (key.startsWith(XATTR)) {
          xattrs ??= new Map(made.xattrs);
          // a copy, because the xattrs of an entry outlive its records
          xattrs.set(key.slice(XATTR.length), Buffer.from(value));
        } else if (key.startsWith(ENCODED_XATTR)) {
          encoded ??= new Map(made.encodedXattrs);
          encoded.set(decodeUrl(key.slice(ENCODED_XATTR.length)), decodeBase64(record));
        } else if (key.startsWith(SPARSE)) {
          made.sparse = applySparse(made.sparse ?? {}, record);
        }
    }
  }
  if (selinux && !xattrs?.has(SELINUX_XATTR)) {
    xattrs = new Map(xattrs ?? made.xattrs).set(SELINUX_XATTR, selinux);
  }
  if (xattrs) made.xattrs = xattrs;
  if (encoded) made.encodedXattrs = encoded;
  return made;
};

/** Adds a record to `sparse`, in place. */
const applySparse = (sparse: PaxSparse, record: PaxRecord): PaxSparse => {
  switch (record.key.slice(SPARSE.length)) {
    case 'major':
      sparse.major = decimal(record);
      break;
    case 'minor':
      sparse.minor = decimal(record);
      break;
    case 'name':
      sparse.name = nameIn(record);
      break;
    case 'size': // versions 0.0 and 0.1
    case 'realsize': // version 1.0
      sparse.realSize = decimal(record);
      break;
    case 'numblocks':
      sparse.extentCount = decimal(record);
      break;
    case 'offset': // version 0.0: an offset and a size for each extent, alternating
      sparse.extents ??= [];
      if (sparse.extents.length % 2 !== 0) throw unpaired();
      sparse.extents.push(decimal(record));
      break;
    case 'numbytes':
      if (!sparse.extents || sparse.extents.length % 2 !== 1) throw unpaired();
      sparse.extents.push(decimal(record));
      break;
    case 'map': // version 0.1: all of them in one list
      sparse.extents = decimals(record);
  }
  return sparse;
};

const unpaired = () => new RafsError('CORRUPT', 'offsets and sizes of a sparse map do not match');

const decimals = ({ key, value }: PaxRecord): number[] =>
  value.length === 0
    ? []
    : value
        .toString('latin1')
        .split(',')
        .map(text => decimal({ key, value: Buffer.from(text, 'latin1') }));

/** bsdtar escapes bytes as %XX; anything else stands for itself. */
const decodeUrl = (text: string): string =>
  text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));

/** bsdtar omits the padding. */
const decodeBase64 = ({ key, value }: PaxRecord): Buffer => {
  const text = value.toString('latin1');
  if (/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return Buffer.from(text, 'base64');
  throw new RafsError('CORRUPT', `PAX record ${key} is not base64`);
};

const hasKnownPrefix = (key: string): boolean =>
  XATTR_PREFIXES.some(([prefix]) => key.startsWith(prefix));

/**
 * The xattrs of an entry by full name; undefined if it has none.
 *
 * Those of namespaces that Linux does not have are left out, and `leftOut` is told: macOS has many
 * that mean nothing elsewhere. LIMIT for what is too long.
 */
export const xattrsOf = (
  { xattrs, encodedXattrs }: PaxAttributes,
  leftOut: (name: string) => void,
): ReadonlyMap<string, Buffer> | undefined => {
  if (!xattrs && !encodedXattrs) return undefined;
  const all = new Map<string, Buffer>();
  for (const [key, value] of [...(encodedXattrs ?? []), ...(xattrs ?? [])]) {
    if (hasKnownPrefix(key)) all.set(key, value);
    else leftOut(key);
  }
  for (const [key, value] of all) {
    if (key.includes('\0')) throw new RafsError('CORRUPT', 'the name of an xattr contains a NUL');
    if (key.length > KEY_LIMIT) {
      throw new RafsError(
        'LIMIT',
        `an xattr name of ${key.length} bytes exceeds the limit of ${KEY_LIMIT}`,
      );
    }
    if (value.length > VALUE_LIMIT) {
      throw new RafsError(
        'LIMIT',
        `xattr '${key}' of ${value.length} bytes exceeds the limit of ${VALUE_LIMIT}`,
      );
    }
  }
  return all.size > 0 ? all : undefined;
};
