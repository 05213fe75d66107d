/** What a tar header and its PAX records say of an entry. */

import { RafsError } from '../errors.js';
import { TarType } from '../layout/tar.js';
import type { Entry, EntryType } from '../model/entry.js';
import { normalPath } from './path.js';
import type { HeaderFields } from './header.js';
import { type PaxAttributes, xattrsOf } from './pax.js';

/** Entry types by the type byte of a header. GNU tar also reads contiguous files as files. */
const ENTRY_TYPES: Readonly<Record<string, EntryType>> = {
  [TarType.OLD_FILE]: 'file', // or a directory, see typeOf
  [TarType.FILE]: 'file',
  [TarType.HARDLINK]: 'hardlink',
  [TarType.SYMLINK]: 'symlink',
  [TarType.CHAR]: 'char',
  [TarType.BLOCK]: 'block',
  [TarType.DIRECTORY]: 'directory',
  [TarType.FIFO]: 'fifo',
  [TarType.CONTIGUOUS]: 'file',
  [TarType.GNU_SPARSE]: 'file',
};

/**
 * The type of an entry called `name`. v7 tars have no type for directories: they are files whose
 * names end with a slash. So do some later writers, for which GNU tar and libarchive make
 * directories and containerd a file, below which it then cannot unpack: one with content stays that.
 */
export const typeOf = (code: string, name: string, size: number): EntryType | undefined => {
  const type = ENTRY_TYPES[code];
  if (type !== 'file' || !name.endsWith('/')) return type;
  return code === TarType.OLD_FILE || size === 0 ? 'directory' : type;
};

/** Files of an eStargz layer that describe the layer and are not part of its content. */
const IGNORED: ReadonlySet<string> = new Set([
  'stargz.index.json',
  '.prefetch.landmark',
  '.no.prefetch.landmark',
]);

const IGNORED_LENGTH = Math.max(...[...IGNORED].map(path => path.length));

/** Looking up a path in the set takes a hash of it; the length check spares most paths that. */
export const isIgnored = (path: string): boolean =>
  path.length <= IGNORED_LENGTH && IGNORED.has(path);

const TARGET_LIMIT = 0xffff; // of a symlink's target: 16 bits hold its size
const ID_LIMIT = 0xffffffff;
const NO_DEVICE = 0xffffffff;
export const NO_ATTRIBUTES: PaxAttributes = {};

/** A long name of GNU tar ends at its first NUL. */
export const textOf = (bytes: Buffer): string => {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
};

/** User and group ids: what is not a number becomes 0, as in nydus-image. */
const idOf = (id: number): number => {
  if (Number.isNaN(id)) return 0;
  if (id >= 0 && id <= ID_LIMIT) return id;
  throw new RafsError('LIMIT', `owner id ${id} is not between 0 and ${ID_LIMIT}`);
};

/** What is said of an xattr that is left out. */
const unknownXattr = (name: string): string =>
  `xattr ${JSON.stringify(name)} is left out: Linux has no such namespace`;

export const entryOf = (
  header: HeaderFields,
  type: EntryType,
  path: string,
  pax: PaxAttributes,
  warn: (message: string) => void = () => undefined,
): Entry => {
  const { mode } = header;
  const mtime = pax.mtime ?? header.mtime;
  if (Number.isNaN(mode)) throw new RafsError('CORRUPT', 'the mode is not an octal number');
  const entry: Entry = {
    path,
    type,
    mode: mode & 0o7777,
    uid: idOf(pax.uid ?? header.uid),
    gid: idOf(pax.gid ?? header.gid),
    mtime: Number.isSafeInteger(mtime) ? mtime : 0,
    mtimeNsec: 0,
    size: 0,
    rdev: NO_DEVICE,
  };
  if (pax.xattrs || pax.encodedXattrs) {
    const xattrs = xattrsOf(pax, name => warn(unknownXattr(name)));
    if (xattrs) entry.xattrs = xattrs;
  }
  return entry;
};

/** A symlink's target stays unchanged; a hardlink's is a path in the layer. */
export const targetOf = (
  type: 'symlink' | 'hardlink',
  name: string,
  clamped?: () => void,
): string => {
  if (name === '') throw new RafsError('CORRUPT', `a ${type} has no target`);
  if (type === 'symlink') {
    if (name.length <= TARGET_LIMIT) return name;
    throw new RafsError(
      'LIMIT',
      `a target of ${name.length} bytes exceeds the limit of ${TARGET_LIMIT}`,
    );
  }
  const target = normalPath(name, clamped);
  if (target !== '') return target;
  throw new RafsError('CORRUPT', `a hardlink cannot point to the root: '${name}'`);
};
