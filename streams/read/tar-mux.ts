import { isUtf8 } from 'node:buffer';
import { alignUp } from '../../lib/layout/align.js';
import { RafsError, located } from '../../lib/errors.js';
import { BLOCK_SIZE, TarType } from '../../lib/layout/tar.js';
import { isUnplainPath } from '../../lib/tar/path.js';
import { deviceMajor, deviceMinor, paxHeader, ustarHeader } from '../../lib/tar/header.js';
import type { BytesPart, ChunkPart, DataPart, EndPart, EntryPart } from '../../lib/model/parts.js';
import type { Entry, EntryType } from '../../lib/model/entry.js';
import { writePax, type PaxRecord } from '../../lib/tar/pax.js';
import { Stage, type Push } from '../stage.js';

/** Names of users and groups by id; '' if there is none. */
export interface OwnerNames {
  user(uid: number): string;
  group(gid: number): string;
}

export interface TarMuxOptions {
  names?: OwnerNames;
  /** hardlink targets begin with '/', as nydus-image writes them */
  slashedLinks?: boolean;
}

const TYPES: Readonly<Record<Exclude<EntryType, 'socket'>, string>> = {
  file: TarType.FILE,
  hardlink: TarType.HARDLINK,
  symlink: TarType.SYMLINK,
  char: TarType.CHAR,
  block: TarType.BLOCK,
  directory: TarType.DIRECTORY,
  fifo: TarType.FIFO,
};

/** The end of a tar; a part of it fills up a block. */
const ZEROS = Buffer.alloc(2 * BLOCK_SIZE);
const NAME_SIZE = 100; // of a path in a header
const OWNER_SIZE = 32;
const NO_NAMES: OwnerNames = { user: () => '', group: () => '' };

/**
 * tar-mux: turns entries and their content into the bytes of a tar.
 *
 * takes entry, data, chunk (with plain bytes) and end; makes bytes
 * holds only the path and sizes of the current entry
 *
 * Headers are byte for byte those of `nydus-image unpack`: in POSIX format, without a slash after
 * directory names, and with PAX records only for long names, xattrs and parts of seconds. But targets
 * of symlinks stay as they are, with doubled slashes, too. The root and sockets are left out.
 */
export const tarMux = ({ names = NO_NAMES, slashedLinks = true }: TarMuxOptions = {}) => {
  let offset = 0; // in the tar
  let path = '';
  let due = 0; // bytes of content that the entry must have
  let written = 0;

  const made = (bytes: Buffer): BytesPart => {
    const part: BytesPart = { kind: 'bytes', offset, bytes };
    offset += bytes.length;
    return part;
  };

  const content = (bytes: Buffer, push: Push<BytesPart>): void => {
    written += bytes.length;
    if (written > due) throw mismatch();
    if (bytes.length > 0) push(made(bytes));
  };

  const mismatch = () =>
    new RafsError('MISMATCH', `expected ${due} bytes of content, got ${written}`, { path });

  const targetIn = (entry: Entry): string => {
    const target = entry.target ?? '';
    if (target === '' || target.includes('\0')) {
      throw new RafsError('CORRUPT', `a ${entry.type} has no valid target`);
    }
    return slashedLinks && entry.type === 'hardlink' ? `/${target}` : target;
  };

  const headersOf = (entry: Entry, type: string): Buffer => {
    // readers would take such a name for another one, or for one outside the target directory
    if (isUnplainPath(entry.path) || entry.path.includes('\0')) {
      throw new RafsError('CORRUPT', 'invalid path of an entry');
    }
    const records: PaxRecord[] = [];
    let name = entry.path;
    if (name.length > NAME_SIZE) {
      records.push({ key: 'path', value: Buffer.from(name, 'latin1') });
      name = shortName(name);
    }
    let linkName = '';
    if (entry.type === 'symlink' || entry.type === 'hardlink') {
      const target = targetIn(entry);
      linkName = target;
      if (target.length > NAME_SIZE) {
        records.push({ key: 'linkpath', value: Buffer.from(target, 'latin1') });
        linkName = shortName(target);
      }
    }
    if (entry.mtimeNsec > 0) records.push({ key: 'mtime', value: Buffer.from(timeOf(entry)) });
    for (const [key, value] of entry.xattrs ?? []) {
      records.push({ key: `SCHILY.xattr.${key}`, value });
    }
    const isDevice = entry.type === 'char' || entry.type === 'block';
    const header = ustarHeader({
      name,
      type,
      mode: entry.mode & 0o7777,
      uid: entry.uid,
      gid: entry.gid,
      size: entry.type === 'file' ? entry.size : 0,
      mtime: entry.mtime,
      linkName,
      userName: ownerName(names.user(entry.uid)),
      groupName: ownerName(names.group(entry.gid)),
      devMajor: isDevice ? deviceMajor(entry.rdev) : 0,
      devMinor: isDevice ? deviceMinor(entry.rdev) : 0,
      prefix: '',
    });
    if (records.length === 0) return header;
    records.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
    const body = writePax(records);
    return Buffer.concat([
      paxHeader(paxName(name), body.length),
      body,
      Buffer.alloc(paddingOf(body.length)),
      header,
    ]);
  };

  return new Stage<EntryPart | DataPart | ChunkPart | EndPart, BytesPart>('tar-mux', {
    transform(part, push) {
      switch (part.kind) {
        case 'entry': {
          const { entry } = part;
          path = entry.path;
          written = 0;
          due = entry.type === 'file' ? entry.size : 0;
          if (entry.type === 'socket' || (path === '' && entry.type === 'directory')) return;
          try {
            push(made(headersOf(entry, TYPES[entry.type])));
          } catch (error) {
            throw located(error, { path });
          }
          return;
        }
        case 'chunk':
          if (part.chunk.fileOffset !== written) {
            const message = `expected the chunk at ${written}, got the one at ${part.chunk.fileOffset}`;
            throw new RafsError('MISMATCH', message, { path });
          }
          content(part.bytes, push);
          return;
        case 'data':
          content(part.bytes, push);
          return;
        case 'end': {
          if (written !== due) throw mismatch();
          const padding = paddingOf(written);
          if (padding > 0) push(made(ZEROS.subarray(0, padding)));
        }
      }
    },

    *flush() {
      yield made(ZEROS);
    },
  });
};

const paddingOf = (size: number): number => alignUp(size, BLOCK_SIZE) - size;

/** A time as PAX has it: decimal seconds. Before 1970, nanoseconds count from the second before. */
const timeOf = ({ mtime, mtimeNsec }: Entry): string => {
  const isEarly = mtime < 0;
  const seconds = isEarly ? -(mtime + 1) : mtime;
  const fraction = isEarly ? 1_000_000_000 - mtimeNsec : mtimeNsec;
  return `${isEarly ? '-' : ''}${seconds}.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`;
};

/** Leaves out a name that its field cannot hold: it is only there for people. */
const ownerName = (name: string): string =>
  name.length > OWNER_SIZE || name.includes('\0') ? '' : name;

/**
 * The start of a long name, which represents it in a header: cut between UTF-8 characters, because
 * some readers look at it.
 */
const shortName = (name: string): string => {
  const bytes = Buffer.from(name.slice(0, NAME_SIZE), 'latin1');
  let size = bytes.length;
  while (size > 0 && !isUtf8(bytes.subarray(0, size))) size--;
  // the cut may have turned the last component into '.' or '..'
  return name.slice(0, size === 0 ? NAME_SIZE : size).replace(/\/\.{1,2}$/, '');
};

/** Name in the header of PAX records, derived from the name in the header that they belong to. */
const paxName = (name: string): string => {
  const plain = name.endsWith('/') ? name.slice(0, -1) : name;
  const slash = plain.lastIndexOf('/') + 1;
  const full = `${plain.slice(0, slash)}PaxHeaders.0/${plain.slice(slash)}`;
  return full.length > NAME_SIZE ? shortName(full) : full;
};
