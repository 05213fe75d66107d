import { alignUp } from '../../lib/layout/align.js';
import { RafsError, located, type ErrorContext } from '../../lib/errors.js';
import { BLOCK_SIZE, TarType } from '../../lib/layout/tar.js';
import { normalPath } from '../../lib/tar/path.js';
import {
  checkHeader,
  readDevice,
  readHeader,
  readLinkName,
  type HeaderFields,
} from '../../lib/tar/header.js';
import type { BytesPart, DataPart, EndPart, EntryPart } from '../../lib/model/parts.js';
import type { Entry, EntryType } from '../../lib/model/entry.js';
import {
  applyPax,
  readPax,
  xattrsOf,
  type PaxAttributes,
  type PaxRecord,
} from '../../lib/tar/pax.js';
import {
  SparseExpander,
  checkSparseMap,
  gnuSparseMap,
  paxSparseMap,
  type SparseMap,
} from '../../lib/tar/sparse.js';
import { Stage, type Push } from '../stage.js';

export interface TarDemuxOptions {
  /** largest sparse file to expand, in bytes: a few bytes of tar may ask for any size */
  sparseLimit?: number;
  /** if false, the content of files is skipped, and no output refers to the input */
  contents?: boolean;
  /** accept an input of no bytes as an empty layer */
  empty?: boolean;
}

export type TarPart = EntryPart | DataPart | EndPart;

/** The handlers of tar-demux, for a source that leaves out what would be skipped. */
export interface TarParser {
  /**
   * A part may start up to `skippable` bytes after the end of the one before. Returns the rest of
   * the output, from a sparse file on: its holes may have any size. There is none if `contents` is
   * off.
   */
  part(part: BytesPart, push: Push<TarPart>): void | Iterable<TarPart>;
  end(): void;
  /** how many of the next bytes are not needed */
  readonly skippable: number;
  /** how many bytes after those it needs before it makes anything or wants more */
  readonly wanted: number;
}

/** Entry types by the type byte of a header. GNU tar also reads contiguous files as files. */
const ENTRY_TYPES: Readonly<Record<string, EntryType>> = {
  [TarType.OLD_FILE]: 'file', // even with a trailing slash: no directory to nydus-image
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

/** Files of an eStargz layer that describe the layer and are not part of its content. */
const IGNORED: ReadonlySet<string> = new Set([
  'stargz.index.json',
  '.prefetch.landmark',
  '.no.prefetch.landmark',
]);
const IGNORED_LENGTH = Math.max(...[...IGNORED].map(path => path.length));

/** Looking up a path in the set takes a hash of it; the length check spares most paths that. */
const isIgnored = (path: string): boolean => path.length <= IGNORED_LENGTH && IGNORED.has(path);

const META_LIMIT = 0x100000; // of a long name or of a list of PAX records
const TARGET_LIMIT = 0xffff; // of a symlink's target: 16 bits hold its size
const ID_LIMIT = 0xffffffff;
const NO_DEVICE = 0xffffffff;
const NO_ATTRIBUTES: PaxAttributes = {};
const END: EndPart = { kind: 'end' };

/**
 * What is being read: a header, content of a file without or with holes, bytes to skip, or a body
 * that is needed as a whole.
 */
type Body = 'header' | 'content' | 'sparse' | 'skip' | 'meta';

/**
 * tar-demux: turns a tar into entries, each followed by its content if it is a file.
 *
 * takes bytes; makes entry, data (of files) and end; passes everything else
 * holds a header, and long names and PAX records of one entry: up to 1 MiB each
 *
 * Content is passed on as views of the input. Blocks of zeros are skipped wherever they are, and
 * reading continues to the end of the input, so concatenated archives form one layer.
 */
export const tarDemux = <Other extends { kind: string } = never>(options: TarDemuxOptions = {}) => {
  const parser = tarParser(options);
  return new Stage<BytesPart | Other, TarPart | Other>('tar-demux', {
    // casts, since TypeScript does not narrow a generic union
    transform(part, push) {
      if (part.kind === 'bytes') return parser.part(part as BytesPart, push);
      push(part as Other);
      return undefined;
    },
    flush: () => parser.end(),
  });
};

export const tarParser = ({
  sparseLimit = 2 ** 40,
  contents = true,
  empty = false,
}: TarDemuxOptions = {}): TarParser => {
  const head = Buffer.alloc(BLOCK_SIZE); // a header that comes in pieces
  let have = 0;
  let position = 0; // offset in the tar of the end of the input so far
  let started = false;
  let lastPath = ''; // of the current body

  let body: Body = 'header';
  let left = 0; // bytes of the body still to come
  let padding = 0; // bytes after it up to the next block
  let meta = head;
  let metaSize = 0;
  let metaPlace: ErrorContext = {};
  let metaDone: (bytes: Buffer) => Entry | undefined = () => undefined;
  let expander: SparseExpander | undefined;

  // facts for the next entry
  let longName: string | undefined;
  let longLink: string | undefined;
  let records: PaxRecord[] | undefined;
  let globals = NO_ATTRIBUTES;
  let globalSize = 0;

  /** Arranges for `done` to be called with the next `size` bytes once they have come. */
  const readMeta = (size: number, place: ErrorContext, done: typeof metaDone): undefined => {
    meta = Buffer.allocUnsafe(alignUp(size, BLOCK_SIZE));
    metaSize = size;
    metaPlace = place;
    metaDone = done;
    body = 'meta';
    left = meta.length;
  };

  const skip = (size: number): undefined => {
    left = alignUp(size, BLOCK_SIZE);
    if (left > 0) body = 'skip';
  };

  /** Size of a body; fails with CORRUPT if it is not a valid size. */
  const sizeIn = (header: HeaderFields, offset: number, path: string, pax?: number): number => {
    const size = pax ?? header.size;
    if (size >= 0 && Number.isSafeInteger(size)) return size;
    const shown = Number.isNaN(size) ? 'no number' : String(size);
    throw new RafsError('CORRUPT', `the size in a tar header is ${shown}`, { path, offset });
  };

  /** Handles headers that are not for an entry of their own. False if this is not one. */
  const metaHeader = (header: HeaderFields, offset: number): boolean => {
    const { type, name } = header;
    const read = (done: (bytes: Buffer) => void): true => {
      const size = sizeIn(header, offset, name);
      if (size > META_LIMIT) {
        const message = `a tar header of type ${type} has ${size} bytes, over ${META_LIMIT}`;
        throw new RafsError('LIMIT', message, { path: name, offset });
      }
      if (size > 0) readMeta(size, { offset }, bytes => void done(bytes));
      else done(Buffer.alloc(0));
      return true;
    };
    switch (type) {
      case TarType.GNU_LONG_NAME:
        return read(bytes => (longName = textOf(bytes)));
      case TarType.GNU_LONG_LINK:
        return read(bytes => (longLink = textOf(bytes)));
      case TarType.PAX:
        return read(bytes => (records = readPax(bytes)));
      case TarType.PAX_GLOBAL:
        // later global records add to earlier ones and override those of the same key (POSIX); a
        // sparse map belongs to one file
        return read(bytes => {
          globalSize += bytes.length;
          if (globalSize > META_LIMIT) {
            throw new RafsError('LIMIT', `global PAX records of over ${META_LIMIT} bytes`);
          }
          const global = readPax(bytes).filter(({ key }) => !key.startsWith('GNU.sparse.'));
          globals = applyPax(globals, global);
        });
      case TarType.GNU_VOLUME: // a label of the archive
        lastPath = name;
        skip(sizeIn(header, offset, name));
        return true;
      default:
        return false;
    }
  };

  /** The entry of a header, unless there is none or more must be read first. */
  const readEntry = (block: Buffer, at: number, offset: number): Entry | undefined => {
    const header = readHeader(block, at);
    // other headers have letters as types
    if (header.type >= 'A' && metaHeader(header, offset)) return undefined;

    let pax = globals;
    let path = header.name;
    let type: EntryType | undefined;
    try {
      if (records) pax = applyPax(globals, records);
      path = normalPath(longName ?? pax.sparse?.name ?? pax.path ?? path);
      type = ENTRY_TYPES[header.type];
      if (type === undefined) {
        const code = JSON.stringify(header.type);
        throw new RafsError('UNSUPPORTED', `tar entries of type ${code} are not known`);
      }
      const entry = entryOf(header, type, path, pax);
      if (type === 'symlink' || type === 'hardlink') {
        entry.target = targetOf(type, longLink ?? pax.linkPath ?? readLinkName(block, at));
      } else if (type === 'char' || type === 'block' || type === 'fifo') {
        entry.rdev = readDevice(block, at, header.flavour);
        if (Number.isNaN(entry.rdev))
          throw new RafsError('CORRUPT', 'a device number is no number');
      }
      const size = sizeIn(header, offset, path, pax.size);
      longName = longLink = records = undefined;
      lastPath = path;
      if (path === '' && type !== 'directory') {
        throw new RafsError('CORRUPT', `the root is a ${type}, not a directory`);
      }
      // Only files have content. The size of other types is ignored, as in Go's archive/tar and for
      // hardlinks in GNU tar: old writers gave links the size of their target.
      if (type !== 'file') return isIgnored(path) ? undefined : entry;
      if (header.type === TarType.GNU_SPARSE) {
        if (header.flavour !== 'gnu')
          throw new RafsError('UNSUPPORTED', 'a sparse file of another form than GNU tar has');
        return sparse(entry, size, offset, gnuSparseMap(block, at));
      }
      if (pax.sparse) return sparse(entry, size, offset, paxSparseMap(pax.sparse));
      entry.size = size;
      entry.dataOffset = offset + BLOCK_SIZE;
      return content(entry, size, 'content');
    } catch (error) {
      throw located(error, { path, offset });
    }
  };

  /** Starts the content of a file that has `size` bytes in the tar. */
  const content = (entry: Entry, size: number, how: 'content' | 'sparse'): Entry | undefined => {
    if (isIgnored(entry.path)) return skip(size);
    body = contents ? how : 'content';
    left = contents ? size : 0;
    padding = alignUp(size, BLOCK_SIZE) - left;
    return entry;
  };

  /** A file with holes, whose map may continue in the next blocks. */
  const sparse = (
    entry: Entry,
    size: number,
    offset: number,
    map: SparseMap,
  ): Entry | undefined => {
    if (!map.complete) {
      if (map.size > 0 && map.size >= size) {
        throw new RafsError('CORRUPT', `a sparse map goes on behind its file's end at ${size}`);
      }
      return readMeta(BLOCK_SIZE, { path: entry.path, offset }, block => {
        map.push(block);
        return sparse(entry, size, offset, map);
      });
    }
    checkSparseMap(map.extents, map.realSize, size - map.size);
    if (map.realSize > sparseLimit) {
      throw new RafsError('LIMIT', `a sparse file of ${map.realSize} bytes, over ${sparseLimit}`);
    }
    entry.size = map.realSize;
    expander = new SparseExpander(map.extents, map.realSize);
    return content(entry, size - map.size, 'sparse');
  };

  /** Ends a file: passes on its end, and skips its padding. */
  const finish = (push: Push<DataPart | EndPart>): void => {
    expander = undefined;
    push(END);
    left = padding;
    padding = 0;
    body = left > 0 ? 'skip' : 'header';
  };

  /** Content of a sparse file with its holes, then what comes after it. */
  function* sparseContent(
    pieces: Iterable<Buffer>,
    bytes: Buffer,
    offset: number,
    at: number,
    push: Push<TarPart>,
  ): Iterable<TarPart> {
    for (const piece of pieces) yield { kind: 'data', bytes: piece };
    if (left === 0) {
      for (const piece of expander!.end()) yield { kind: 'data', bytes: piece };
      finish(push);
    }
    const rest = parse(bytes, offset, at, push);
    if (rest) yield* rest;
  }

  /** Parses `bytes`, which lie at `offset` in the tar, from index `from` on. */
  const parse = (
    bytes: Buffer,
    offset: number,
    from: number,
    push: Push<TarPart>,
  ): Iterable<TarPart> | undefined => {
    let at = from;
    while (at < bytes.length) {
      let entry: Entry | undefined;
      if (body === 'header') {
        let block = bytes;
        let blockAt = at;
        if (have > 0 || bytes.length - at < BLOCK_SIZE) {
          const size = Math.min(BLOCK_SIZE - have, bytes.length - at);
          bytes.copy(head, have, at, at + size);
          have += size;
          at += size;
          if (have < BLOCK_SIZE) return undefined;
          have = 0;
          block = head;
          blockAt = 0;
        } else {
          at += BLOCK_SIZE;
        }
        started = true;
        const headerOffset = offset + at - BLOCK_SIZE;
        if (!isHeader(block, blockAt, headerOffset)) continue;
        entry = readEntry(block, blockAt, headerOffset);
      } else {
        const size = Math.min(left, bytes.length - at);
        const piece = bytes.subarray(at, at + size);
        at += size;
        left -= size;
        switch (body) {
          case 'content':
            push({ kind: 'data', bytes: piece });
            if (left === 0) finish(push);
            continue;
          case 'sparse':
            return sparseContent(expander!.push(piece), bytes, offset, at, push);
          case 'skip':
            if (left === 0) body = 'header';
            continue;
          case 'meta':
            piece.copy(meta, meta.length - left - size);
            if (left > 0) continue;
            body = 'header';
            try {
              entry = metaDone(meta.subarray(0, metaSize));
            } catch (error) {
              throw located(error, metaPlace);
            }
        }
      }
      if (entry === undefined) continue;
      push({ kind: 'entry', entry });
      if (left > 0) continue;
      // reading the entry has set what comes next
      if ((body as Body) === 'sparse') return sparseContent([], bytes, offset, at, push);
      finish(push);
    }
    return undefined;
  };

  return {
    get skippable() {
      return body === 'skip' ? left : 0;
    },

    get wanted() {
      if (body === 'skip') return BLOCK_SIZE;
      return body === 'header' ? BLOCK_SIZE - have : left;
    },

    part({ offset, bytes }, push) {
      const skipped = offset - position;
      if (skipped > 0 && body === 'skip') {
        if (skipped > left) throw new Error(`bytes left out before ${offset} are needed`);
        left -= skipped;
        if (left === 0) body = 'header';
      }
      position = offset + bytes.length;
      return parse(bytes, offset, 0, push);
    },

    end() {
      const at = { offset: position };
      if (body !== 'header') {
        const place = body === 'meta' ? metaPlace : { path: lastPath };
        throw new RafsError('CORRUPT', `the tar ends ${left} bytes too early`, { ...place, ...at });
      }
      if (!started && have === 0) {
        if (empty) return;
        throw new RafsError('CORRUPT', 'the tar is empty', at);
      }
      if (!started || head.subarray(0, have).some(byte => byte !== 0)) {
        throw new RafsError('CORRUPT', `the tar ends inside a header, with ${have} bytes`, at);
      }
      if (longName !== undefined || longLink !== undefined || records) {
        throw new RafsError('CORRUPT', 'the tar ends before the entry that it tells of', at);
      }
    },
  };
};

const isHeader = (block: Buffer, at: number, offset: number): boolean => {
  try {
    return checkHeader(block, at);
  } catch (error) {
    throw located(error, { offset });
  }
};

/** A long name of GNU tar ends at its first NUL. */
const textOf = (bytes: Buffer): string => {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
};

/** User and group ids: what is not a number becomes 0, as in nydus-image. */
const idOf = (id: number): number => {
  if (Number.isNaN(id)) return 0;
  if (id >= 0 && id <= ID_LIMIT) return id;
  throw new RafsError('LIMIT', `an owner of id ${id} is not from 0 to ${ID_LIMIT}`);
};

const entryOf = (
  header: HeaderFields,
  type: EntryType,
  path: string,
  pax: PaxAttributes,
): Entry => {
  const { mode, mtime } = header;
  if (Number.isNaN(mode)) throw new RafsError('CORRUPT', 'a mode is not an octal number');
  const entry: Entry = {
    path,
    type,
    mode: mode & 0o7777,
    uid: idOf(pax.uid ?? header.uid),
    gid: idOf(pax.gid ?? header.gid),
    mtime: mtime > 0 && Number.isSafeInteger(mtime) ? mtime : 0,
    mtimeNsec: 0,
    size: 0,
    rdev: NO_DEVICE,
  };
  if (pax.xattrs || pax.encodedXattrs) {
    const xattrs = xattrsOf(pax);
    if (xattrs) entry.xattrs = xattrs;
  }
  return entry;
};

/** A symlink's target stays unchanged; a hardlink's is a path in the layer. */
const targetOf = (type: 'symlink' | 'hardlink', name: string): string => {
  if (name === '') throw new RafsError('CORRUPT', `a ${type} has no target`);
  if (type === 'symlink') {
    if (name.length <= TARGET_LIMIT) return name;
    throw new RafsError('LIMIT', `a target of ${name.length} bytes is over ${TARGET_LIMIT}`);
  }
  const target = normalPath(name);
  if (target !== '') return target;
  throw new RafsError('CORRUPT', `a hardlink's target '${name}' is the root`);
};
