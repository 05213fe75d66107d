/**
 * The table of contents of an eStargz layer, which is all that an image of the layer needs. Such a
 * layer is a gzip in which the content of each file, or each chunk of a large one, is a member of
 * its own.
 */
import { RafsError, located, corrupt } from '../errors.js';
import { normalPath } from '../tar/path.js';
import type { Entry } from '../model/entry.js';

/** A chunk of the layer; chunks are in the order of the table. */
export interface StargzChunk {
  fileOffset: number;
  uncompressedSize: number;
  digest: Buffer;
  /** of the chunk's gzip member */
  compressedOffset: number;
  /** an upper bound: the table does not say where the member ends */
  compressedSize: number;
  /** an earlier chunk with the same bytes */
  repeated?: StargzChunk;
}

export interface StargzLayer {
  files: readonly { entry: Entry; chunks: readonly StargzChunk[] }[];
  /** of all files, in the order of the table */
  chunks: readonly StargzChunk[];
  /** one for each entry that was left out */
  warnings: readonly string[];
}

export interface StargzOptions {
  /** of every chunk in the table except the last of a file */
  chunkSize: number;
  /** bytes of the layer */
  blobSize: number;
  /** false: owners are not recorded */
  explicitUidGid: boolean;
}

const MOST_COMPRESSED = 0x1000000;
const ID_LIMIT = 0xffffffff;
const TARGET_LIMIT = 0xffff;
const NO_DEVICE = 0xffffffff;

/** Files that describe the layer and are not part of its content. */
const IGNORED: ReadonlySet<string> = new Set([
  'stargz.index.json',
  '.prefetch.landmark',
  '.no.prefetch.landmark',
]);
/** Types that nydus-image leaves out of such an image. */
const LEFT_OUT: ReadonlySet<string> = new Set(['char', 'block', 'fifo']);
const TYPES = { dir: 'directory', reg: 'file', symlink: 'symlink', hardlink: 'hardlink' } as const;

/** An entry of the table: unchecked JSON. */
class Fields {
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(value: unknown) {
    if (typeof value !== 'object' || value === null) throw corrupt('expected an object');
    this.#fields = value as Readonly<Record<string, unknown>>; // any key may be asked for
  }

  /** The UTF-8 bytes of a string, as latin1; '' if there is none. */
  text(name: string): string {
    const value = this.#fields[name] ?? '';
    if (typeof value !== 'string') throw corrupt(`'${name}' is not a string`);
    return Buffer.from(value).toString('latin1');
  }

  /** A whole number up to `most`; 0 if there is none. */
  number(name: string, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.#fields[name] ?? 0;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) {
      return value;
    }
    throw corrupt(`'${name}' is not a whole number up to ${most}`);
  }

  xattrs(): Map<string, Buffer> {
    const value = this.#fields.xattrs ?? {};
    if (typeof value !== 'object') throw corrupt("'xattrs' is not an object");
    const pairs = Object.entries(value as Record<string, unknown>); // null became {}
    return new Map(
      pairs.map(([name, text]) => {
        if (typeof text !== 'string' || !BASE64.test(text)) {
          throw corrupt(`the xattr '${name}' is not base64`);
        }
        return [Buffer.from(name).toString('latin1'), Buffer.from(text, 'base64')];
      }),
    );
  }
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/i;

/**
 * Reads a table.
 *
 * CORRUPT for anything that is not a table or contradicts itself; UNSUPPORTED for another version,
 * for members that hold several chunks, and for a chunk size other than the image's.
 */
export const readStargzToc = (json: Buffer, options: StargzOptions): StargzLayer => {
  const reader = new TocReader(options);
  entriesOf(json).forEach((value, i) => {
    try {
      reader.add(new Fields(value));
    } catch (error) {
      throw located(error, { entry: i });
    }
  });
  return reader.finish();
};

const entriesOf = (json: Buffer): unknown[] => {
  let toc: unknown;
  try {
    toc = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (error) {
    throw corrupt(`not an eStargz TOC: ${(error as Error).message.replaceAll(/\s+/g, ' ')}`);
  }
  const { version, entries } = (toc ?? {}) as { version?: unknown; entries?: unknown };
  if (version !== 1) {
    throw new RafsError(
      'UNSUPPORTED',
      `unsupported eStargz TOC version ${JSON.stringify(version)}`,
    );
  }
  if (!Array.isArray(entries) || entries.length === 0) throw corrupt('empty eStargz TOC');
  return entries;
};

class TocReader {
  readonly #options: StargzOptions;
  readonly #files: { entry: Entry; chunks: StargzChunk[] }[] = [];
  readonly #byPath = new Map<string, { entry: Entry; chunks: StargzChunk[] }>();
  readonly #chunks: { chunk: StargzChunk; path: string }[] = [];
  readonly #warnings: string[] = [];

  constructor(options: StargzOptions) {
    this.#options = options;
  }

  add(fields: Fields): void {
    const name = fields.text('name');
    if (name === '') throw corrupt('missing name');
    const path = normalPath(name);
    try {
      this.#add(path, fields.text('type'), fields);
    } catch (error) {
      throw located(error, { path });
    }
  }

  #add(path: string, type: string, fields: Fields): void {
    if (LEFT_OUT.has(type)) {
      this.#warnings.push(`stargz: unsupported /${path} with type ${type}`);
      return;
    }
    if (type !== 'chunk' && !Object.hasOwn(TYPES, type))
      throw corrupt(`unknown entry type '${type}'`);
    const hasContent = type === 'reg' || type === 'chunk';
    if (hasContent && (fields.text('digest') === '' || fields.text('chunkDigest') === '')) {
      throw corrupt('missing digest or chunkDigest');
    }
    if (IGNORED.has(path)) return;
    let file = this.#byPath.get(path);
    if (type !== 'chunk') {
      file = { entry: this.#entry(path, TYPES[type as keyof typeof TYPES], fields), chunks: [] };
      this.#files.push(file);
      this.#byPath.set(path, file);
    }
    if (!hasContent) return;
    if (file?.entry.type !== 'file') throw corrupt('the chunk belongs to no file');
    const size = this.#sizeOf(file.entry, type === 'chunk', fields);
    if (size > 0) this.#addChunk(file, size, fields);
  }

  #entry(path: string, type: Entry['type'], fields: Fields): Entry {
    const { explicitUidGid } = this.#options;
    const uid = fields.number('uid', ID_LIMIT);
    const gid = fields.number('gid', ID_LIMIT);
    if (path === '' && type !== 'directory')
      throw corrupt(`the root is a ${type}, not a directory`);
    const entry: Entry = {
      path,
      type,
      mode: fields.number('mode', ID_LIMIT) & 0o7777,
      uid: explicitUidGid ? uid : 0,
      gid: explicitUidGid ? gid : 0,
      mtime: 0, // nydus-image does not read the times in a table either
      mtimeNsec: 0,
      size: type === 'file' ? fields.number('size') : 0,
      rdev: NO_DEVICE,
    };
    if (type === 'symlink' || type === 'hardlink') {
      const target = fields.text('linkName');
      entry.target = type === 'symlink' ? target : normalPath(target);
      if (entry.target === '') throw corrupt(`a ${type} has no target`);
      if (target.length > TARGET_LIMIT) {
        throw new RafsError(
          'LIMIT',
          `a target of ${target.length} bytes exceeds the limit of ${TARGET_LIMIT}`,
        );
      }
    }
    const xattrs = fields.xattrs();
    if (xattrs.size > 0) entry.xattrs = xattrs;
    return entry;
  }

  /** Size of the chunk that an entry describes. */
  #sizeOf({ size }: Entry, isLater: boolean, fields: Fields): number {
    const { chunkSize: due } = this.#options;
    const chunkOffset = fields.number('chunkOffset');
    const chunkSize = fields.number('chunkSize');
    if (isLater && chunkOffset === 0) throw corrupt('a later chunk cannot begin at 0');
    if (chunkOffset % due !== 0) {
      throw new RafsError('UNSUPPORTED', `chunk offset ${chunkOffset} is not a multiple of ${due}`);
    }
    const whole = chunkSize === 0 && (isLater || chunkOffset === 0);
    if (!whole && chunkSize !== due) {
      throw new RafsError('UNSUPPORTED', `expected chunk size ${due}, got ${chunkSize}`);
    }
    const left = size - chunkOffset;
    const bytes = whole ? left : chunkSize;
    if (bytes > left || (isLater && bytes === 0)) {
      throw corrupt(`a chunk at ${chunkOffset} does not fit in a file of ${size} bytes`);
    }
    if (bytes > due) {
      throw new RafsError('UNSUPPORTED', `a chunk of ${bytes} bytes exceeds the chunk size ${due}`);
    }
    return bytes;
  }

  #addChunk(file: { entry: Entry; chunks: StargzChunk[] }, size: number, fields: Fields): void {
    const digest = fields.text('chunkDigest');
    if (!DIGEST.test(digest)) throw corrupt(`invalid chunk digest '${digest}'`);
    if (fields.number('innerOffset') !== 0) {
      throw new RafsError(
        'UNSUPPORTED',
        'gzip members that hold more than one chunk are not supported',
      );
    }
    const chunk: StargzChunk = {
      fileOffset: fields.number('chunkOffset'),
      uncompressedSize: size,
      digest: Buffer.from(digest.slice('sha256:'.length), 'hex'),
      compressedOffset: fields.number('offset'),
      compressedSize: 0, // set once the next chunk is known
    };
    file.chunks.push(chunk);
    this.#chunks.push({ chunk, path: file.entry.path });
  }

  finish(): StargzLayer {
    this.#sizeChunks();
    for (const { entry, chunks } of this.#files) {
      chunks.sort((a, b) => a.fileOffset - b.fileOffset);
      let end = 0;
      for (const { fileOffset, uncompressedSize } of chunks) {
        if (fileOffset !== end) {
          const message = `expected a chunk at ${end}, got ${fileOffset}`;
          throw located(corrupt(message), { path: entry.path });
        }
        end += uncompressedSize;
      }
      if (end !== entry.size) {
        const message = `expected chunks of ${entry.size} bytes, got ${end}`;
        throw located(corrupt(message), { path: entry.path });
      }
    }
    return {
      files: this.#files,
      chunks: this.#chunks.map(({ chunk }) => chunk),
      warnings: this.#warnings,
    };
  }

  /** A member ends before the next one starts, and is at most `memberBound` bytes long. */
  #sizeChunks(): void {
    const seen = new Map<string, StargzChunk>();
    this.#chunks.forEach(({ chunk, path }, i) => {
      const { compressedOffset: start, uncompressedSize } = chunk;
      const next = this.#chunks[i + 1]?.chunk.compressedOffset ?? this.#options.blobSize;
      if (start >= next)
        throw located(corrupt(`a gzip member at ${start} cannot end at ${next}`), { path });
      if (next - start > MOST_COMPRESSED) {
        throw located(corrupt(`a gzip member of ${next - start} bytes is too large`), { path });
      }
      chunk.compressedSize = Math.min(memberBound(uncompressedSize), next - start);
      const key = `${chunk.digest.toString('latin1')} ${uncompressedSize}`;
      const first = seen.get(key);
      if (first) chunk.repeated = first;
      else seen.set(key, chunk);
    });
  }
}

/** The most bytes that a gzip member of `size` bytes of content takes, as nydus-image reckons. */
const memberBound = (size: number): number => size + 151 + 5 * Math.floor(size / 0x4000);
