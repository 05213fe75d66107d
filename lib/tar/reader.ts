/**
 * Reads a tar: a state machine, free of streams.
 *
 * Content is passed on as views of the input. A tar ends with two blocks of zeros, whatever comes
 * after them, or where its input does.
 */
import type { Entry, EntryType } from '../model/entry.js';
import { BLOCK_SIZE, TarType } from '../layout/tar.js';
import { alignUp } from '../layout/align.js';
import { type ErrorContext, RafsError, located } from '../errors.js';
import { MAX_SPARSE } from '../model/limits.js';
import type { EntryPart, DataPart, HolePart, EndPart, BytesPart } from '../model/parts.js';
import {
  SparseExpander,
  gnuSparseMap,
  paxSparseMap,
  type SparseMap,
  checkSparseMap,
} from './sparse.js';
import { type PaxRecord, readPax, applyPax } from './pax.js';
import { saidOnce } from '../model/warnings.js';
import { normalPath, outsideName } from './path.js';
import {
  type HeaderFields,
  readHeader,
  readLinkName,
  readDevice,
  headerIn,
  sizeIn,
} from './header.js';
import { NO_ATTRIBUTES, textOf, typeOf, entryOf, targetOf, isIgnored } from './entry.js';

type Push<Part> = (part: Part) => void;

export interface TarReaderOptions {
  /** largest sparse file to expand, in bytes: a few bytes of tar may ask for any size */
  sparseLimit?: number;
  /** if false, the content of files is skipped, and no output refers to the input */
  contents?: boolean;
  /** called with one sentence for each kind of thing that is left out or changed */
  warn?: (message: string) => void;
}

export type TarPart = EntryPart | DataPart | HolePart | EndPart;

/** Takes what comes of a tar; a source may leave out what would be skipped. */
export interface TarReader {
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

const META_LIMIT = 0x100000; // of a long name or of a list of PAX records
const END: EndPart = { kind: 'end' };
/** Bytes to skip at a time after the end of a tar. */
const REST = 2 ** 40;

/**
 * What is being read: a header, content of a file without or with holes, bytes to skip, or a body
 * that is needed as a whole; or what follows the end of the tar.
 */
type Body = 'header' | 'content' | 'sparse' | 'skip' | 'meta' | 'rest';

export const tarReader = ({
  sparseLimit = MAX_SPARSE,
  contents = true,
  warn = () => undefined,
}: TarReaderOptions = {}): TarReader => {
  const head = Buffer.alloc(BLOCK_SIZE); // a header that comes in pieces
  let have = 0;
  let position = 0; // offset in the tar of the end of the input so far
  let started = false;
  let lastPath = ''; // of the current body
  let blanks = 0; // blocks of zeros in a row
  let slack = 0; // of the bytes left, those that may be missing at the end: of padding
  const say = saidOnce(warn);

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
            throw new RafsError('LIMIT', `global PAX records exceed ${META_LIMIT} bytes`);
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
      const name = longName ?? pax.sparse?.name ?? pax.path ?? path;
      path = normalPath(name, () => say(outsideName(name)));
      type = typeOf(header.type, name, pax.size ?? header.size);
      if (type === undefined) {
        const code = JSON.stringify(header.type);
        throw new RafsError('UNSUPPORTED', `unknown tar entry type ${code}`);
      }
      const entry = entryOf(header, type, path, pax, say);
      if (type === 'symlink' || type === 'hardlink') {
        const target = longLink ?? pax.linkPath ?? readLinkName(block, at);
        entry.target = targetOf(type, target, () => say(outsideName(target)));
      } else if (type === 'char' || type === 'block' || type === 'fifo') {
        entry.rdev = readDevice(block, at, header.flavour);
        if (Number.isNaN(entry.rdev)) throw new RafsError('CORRUPT', 'invalid device number');
      }
      const size = sizeIn(header, offset, path, pax.size);
      longName = longLink = records = undefined;
      lastPath = path;
      if (path === '' && type !== 'directory') {
        throw new RafsError('CORRUPT', `the root is a ${type}, not a directory`);
      }
      // Only files have content. The size of other types is ignored, as in Go's archive/tar and for
      // hardlinks in GNU tar: old writers gave links the size of their target.
      if (type !== 'file') {
        // v7 knows directories as files, and GNU tar skips what bytes they have
        const skipped = header.type === TarType.OLD_FILE ? size : 0;
        if (isIgnored(path)) return skip(skipped);
        padding = alignUp(skipped, BLOCK_SIZE);
        return entry;
      }
      if (header.type === TarType.GNU_SPARSE) {
        if (header.flavour !== 'gnu')
          throw new RafsError('UNSUPPORTED', 'unknown sparse file format');
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
    slack = alignUp(size, BLOCK_SIZE) - size;
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
        throw new RafsError('CORRUPT', `a sparse map extends past the end of its file at ${size}`);
      }
      return readMeta(BLOCK_SIZE, { path: entry.path, offset }, block => {
        map.push(block);
        return sparse(entry, size, offset, map);
      });
    }
    checkSparseMap(map.extents, map.realSize, size - map.size);
    if (map.realSize > sparseLimit) {
      throw new RafsError(
        'LIMIT',
        `a sparse file of ${map.realSize} bytes exceeds the limit of ${sparseLimit}`,
      );
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
    pieces: Iterable<DataPart | HolePart>,
    bytes: Buffer,
    offset: number,
    at: number,
    push: Push<TarPart>,
  ): Iterable<TarPart> {
    yield* pieces;
    if (left === 0) {
      yield* expander!.end();
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
        slack = 0;
        const headerOffset = offset + at - BLOCK_SIZE;
        if (!headerIn(block, blockAt, headerOffset)) {
          blanks += 1;
          if (blanks < 2) continue;
          body = 'rest';
          return undefined;
        }
        blanks = 0;
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
          case 'rest':
            return undefined;
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
      if (body === 'rest') return REST;
      return body === 'skip' ? left : 0;
    },

    get wanted() {
      if (body === 'skip' || body === 'rest') return BLOCK_SIZE;
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
      const isWhole = body === 'header' || body === 'rest' || (body === 'skip' && left <= slack);
      if (!isWhole) {
        const place = body === 'meta' ? metaPlace : { path: lastPath };
        throw new RafsError('CORRUPT', `unexpected end of the tar: ${left} bytes are missing`, {
          ...place,
          ...at,
        });
      }
      if (!started && have === 0) return; // an empty layer
      if (!started || head.subarray(0, have).some(byte => byte !== 0)) {
        throw new RafsError(
          'CORRUPT',
          `unexpected end of the tar inside a header, after ${have} bytes of it`,
          at,
        );
      }
      if (longName !== undefined || longLink !== undefined || records) {
        throw new RafsError(
          'CORRUPT',
          'unexpected end of the tar: the entry after its extended header is missing',
          at,
        );
      }
    },
  };
};
