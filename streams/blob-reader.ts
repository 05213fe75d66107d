/**
 * Source of an image's content: its entries in path order, with the chunks of its files taken from
 * their blobs and unpacked.
 *
 * makes entry, chunk (with unpacked bytes) and end
 * holds a chunk, and 1 MiB of each of the blobs read last, four at most; of a gzip layer its CI
 *   table, and 16 MiB of what was inflated last
 */
import { Readable } from 'node:stream';
import { walk, type Bootstrap, type StoredChunk, type Visit } from '../lib/bootstrap.js';
import {
  hasChunkInfo,
  isLegacyStargz,
  parseChunkInfo,
  parseChunkInfoHeader,
} from '../lib/ci-table.js';
import type { ChunkInfo, ChunkInfoTable } from '../lib/ci-table.js';
import type { BlobRecord } from '../lib/bootstrap.js';
import { compressorName, prepareCompressors } from '../lib/compress.js';
import { decrypt, sealedSize, secretOf } from '../lib/crypt.js';
import { located, RafsError } from '../lib/errors.js';
import { BlobFeature, ChunkInfoHeader } from '../lib/layout/blob.js';
import type { ChunkPart, EndPart, Entry, EntryPart } from '../lib/parts.js';
import { expand } from '../lib/toc.js';
import type { RandomBytes } from './random-bytes.js';
import type { Batch } from './stage.js';
import { readMember, ZranReader } from './zran-reader.js';

export type ImagePart = EntryPart | ChunkPart<StoredChunk> | EndPart;

export interface BlobReaderOptions {
  bootstrap: Bootstrap;
  /** by blob index; a chunk of a blob that is not here is left out */
  blobs: ReadonlyMap<number, RandomBytes>;
  /** what has the tables of blobs that are layers as they were, by blob index */
  tables?: ReadonlyMap<number, RandomBytes>;
  /** read each chunk once, where it is first used, and not each time it is used */
  distinct?: boolean;
  /** leave out the root directory, as a tar of a layer does */
  rootless?: boolean;
}

const BATCH_PARTS = 128;
const BATCH_BYTES = 0x80000;

/** The blobs stay open: whoever opened them closes them. */
export const blobReader = (options: BlobReaderOptions): Readable =>
  Readable.from(batches(options), { objectMode: true, highWaterMark: 2 });

async function* batches(options: BlobReaderOptions): AsyncIterable<Batch<ImagePart>> {
  await prepareCompressors();
  let batch: ImagePart[] = [];
  let bytes = 0;
  for await (const part of parts(options)) {
    batch.push(part);
    bytes += part.kind === 'chunk' ? part.bytes.length : 0;
    if (batch.length < BATCH_PARTS && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

async function* parts(options: BlobReaderOptions): AsyncIterable<ImagePart> {
  const { bootstrap, blobs, tables, distinct = false, rootless = false } = options;
  const readers = new Map<number, ChunkReader>();
  const windows = new Windows();
  const seen = distinct ? new Map<number, Uint8Array>() : undefined;
  const firstNames = new Map<number, string>(); // of inodes with more than one name

  for (const visit of walk(bootstrap)) {
    const { inode, path, repeated } = visit;
    if (rootless && path === '') continue;
    const linked = inode.type === 'file' && inode.nlink > 1;
    if (linked && !repeated) firstNames.set(inode.id, path);
    yield {
      kind: 'entry',
      entry: entryOf(bootstrap, visit, repeated ? firstNames.get(inode.id) : undefined),
    };
    if (inode.type === 'file' && !repeated) {
      for (const chunk of bootstrap.chunks(inode)) {
        const source = blobs.get(chunk.blobIndex);
        if (!source || (seen && !firstUse(seen, bootstrap, chunk))) continue;
        let reader = readers.get(chunk.blobIndex);
        if (!reader) {
          const blob = bootstrap.blobs[chunk.blobIndex]!;
          reader = new ChunkReader(blob, source, windows, tables?.get(chunk.blobIndex));
          readers.set(chunk.blobIndex, reader);
        }
        try {
          const bytes = await reader.read(chunk);
          yield { kind: 'chunk', chunk, bytes };
        } catch (error) {
          throw located(error, {
            path: `/${path}`,
            blob: reader.blob.id,
            chunk: chunk.index,
            offset: chunk.compressedOffset,
          });
        }
      }
    }
    yield { kind: 'end' };
  }
}

/** What the image says of a name; `target` is the first name of the inode where this is another. */
export const entryOf = (
  bootstrap: Bootstrap,
  { inode, path }: Visit,
  target: string | undefined,
): Entry => {
  const xattrs = bootstrap.xattrs(inode);
  const hardlink = target !== undefined;
  return {
    path,
    type: hardlink ? 'hardlink' : inode.type,
    mode: inode.mode & 0o7777,
    uid: inode.uid,
    gid: inode.gid,
    mtime: inode.mtime,
    mtimeNsec: inode.mtimeNsec,
    size: inode.type === 'file' && !hardlink ? inode.size : 0,
    rdev: inode.rdev,
    ...(hardlink ? { target } : {}),
    ...(inode.type === 'symlink' ? { target: bootstrap.symlinkTarget(inode) } : {}),
    ...(xattrs.size > 0 ? { xattrs } : {}),
  };
};

/** Whether a chunk comes for the first time: a bit per chunk of every blob. */
const firstUse = (
  seen: Map<number, Uint8Array>,
  bootstrap: Bootstrap,
  { blobIndex, index }: StoredChunk,
): boolean => {
  let bits = seen.get(blobIndex);
  if (!bits) {
    bits = new Uint8Array(Math.ceil(bootstrap.blobs[blobIndex]!.chunkCount / 8));
    seen.set(blobIndex, bits);
  }
  const at = Math.floor(index / 8);
  if (at >= bits.length) return true; // in a blob that does not count its chunks
  const bit = 1 << (index % 8);
  if (bits[at]! & bit) return false;
  bits[at]! |= bit;
  return true;
};

/** Unpacks the chunks of one blob. */
export class ChunkReader {
  readonly blob: BlobRecord;
  #source: RandomBytes;
  #windows: Windows;
  #table: Promise<ChunkInfoTable> | undefined;
  #tableSource: RandomBytes;
  #unit: { context: number; bytes: Buffer } | undefined; // the batch unpacked last
  #zran: ZranReader | undefined;

  /**
   * @param tables where the blob's tables are, if not in the blob
   * @param table the CI table, where it was read already
   */
  constructor(
    blob: BlobRecord,
    source: RandomBytes,
    windows: Windows,
    tables = source,
    table?: ChunkInfoTable,
  ) {
    this.blob = blob;
    this.#table = table && Promise.resolve(table);
    this.#source = source;
    this.#windows = windows;
    this.#tableSource = tables;
  }

  async read(chunk: StoredChunk): Promise<Buffer> {
    const { features } = this.blob;
    if (features & BlobFeature.ZRAN) {
      const [info, table] = await this.#info(chunk);
      this.#zran ??= new ZranReader(this.#source, table);
      return this.#zran.read(info);
    }
    if (isLegacyStargz(this.blob)) return this.#member(chunk);
    const unit = features & BlobFeature.BATCH ? await this.#batchOf(chunk) : undefined;
    if (unit) return unit;
    const most = chunk.encrypted ? sealedSize(chunk.uncompressedSize) : chunk.uncompressedSize;
    if (!chunk.compressed && chunk.compressedSize !== most) {
      throw new RafsError('CORRUPT', `${chunk.compressedSize} bytes, not ${most}`);
    }
    // stored bytes are at most as many as the plain ones
    if (chunk.compressedSize > Math.max(most, chunk.encrypted ? sealedSize(0) : 0)) {
      throw new RafsError('CORRUPT', `${chunk.uncompressedSize} in ${chunk.compressedSize} bytes`);
    }
    const stored = await this.#windows.read(
      this.#source,
      chunk.compressedOffset,
      chunk.compressedSize,
    );
    const { uncompressedSize, compressed } = chunk;
    const packed = chunk.encrypted
      ? this.#unseal(stored, compressed ? undefined : uncompressedSize)
      : stored;
    const compressor = compressed ? compressorName(this.blob.compressor) : 'none';
    return expand(compressor, packed, uncompressedSize, {});
  }

  #unseal(stored: Buffer, size: number | undefined): Buffer {
    const secret = secretOf(this.blob);
    if (!secret) throw new RafsError('CORRUPT', 'an encrypted chunk of a blob without a key');
    return decrypt(secret, stored, size);
  }

  /** The chunk as the CI table has it. */
  async #info({ index, uncompressedSize }: StoredChunk): Promise<[ChunkInfo, ChunkInfoTable]> {
    this.#table ??= readChunkInfo(this.#tableSource, this.blob);
    const table = await this.#table;
    const info = table.chunk(index);
    if (info.uncompressedSize !== uncompressedSize) {
      const size = info.uncompressedSize;
      throw new RafsError('CORRUPT', `${size} bytes in the blob, not ${uncompressedSize}`);
    }
    return [info, table];
  }

  /** The chunk that is a gzip member. How large that is, is an estimate, and never too small. */
  async #member({ compressedOffset, compressedSize, uncompressedSize }: StoredChunk) {
    const most = Math.min(compressedSize, 2 * uncompressedSize + MOST_HEADER);
    const size = Math.min(most, this.#source.size - compressedOffset);
    const stored = await this.#windows.read(this.#source, compressedOffset, size);
    return readMember(stored, uncompressedSize);
  }

  /** The chunk out of its batch; undefined where it is not in one. */
  async #batchOf(chunk: StoredChunk): Promise<Buffer | undefined> {
    const [info, table] = await this.#info(chunk);
    const { batch, compressedOffset, encrypted, uncompressedSize: size } = info;
    if (!batch) return undefined;
    if (this.#unit?.context !== batch.context) {
      const unit = table.batch(batch.context);
      const stored = await this.#windows.read(this.#source, compressedOffset, unit.compressedSize);
      const whole = unit.compressedSize === unit.uncompressedSize;
      const compressor = whole ? 'none' : compressorName(this.blob.compressor);
      const packed = encrypted
        ? this.#unseal(stored, whole ? unit.uncompressedSize : undefined)
        : stored;
      const bytes = expand(compressor, packed, unit.uncompressedSize, { batch: batch.context });
      this.#unit = { context: batch.context, bytes };
    }
    return this.#unit.bytes.subarray(batch.offset, batch.offset + size);
  }
}

/** Reads the CI table of a blob and compares it with what the blob table says. */
export const readChunkInfo = async (
  source: RandomBytes,
  blob: BlobRecord,
): Promise<ChunkInfoTable> => {
  if (!hasChunkInfo(blob)) {
    throw new RafsError('CORRUPT', 'no CI table', { blob: blob.id });
  }
  const headerOffset = blob.ciOffset + blob.ciCompressedSize;
  try {
    const headerBytes = await source.read(headerOffset, ChunkInfoHeader.size);
    const header = parseChunkInfoHeader(headerBytes, blob);
    return parseChunkInfo(await source.read(blob.ciOffset, blob.ciCompressedSize), header, blob);
  } catch (error) {
    throw located(error, { blob: blob.id, section: 'blob.meta' });
  }
};

/** Of a gzip member, with a name or a comment that nobody gives it. */
const MOST_HEADER = 0x10000;

const WINDOW = 0x10_0000;
const WINDOWS = 4;

/**
 * Reads ahead where a blob is read front to back. Small files lie side by side in a blob, and a
 * system call for each costs more than their bytes.
 */
export class Windows {
  #windows: { source: RandomBytes; offset: number; bytes: Buffer }[] = [];
  #ends = new Map<RandomBytes, number>(); // where the last read from each blob ended

  async read(source: RandomBytes, offset: number, size: number): Promise<Buffer> {
    if (source.readsAhead) return source.read(offset, size);
    const window = this.#windows.find(window => window.source === source);
    if (window && offset >= window.offset) {
      const from = offset - window.offset;
      if (from + size <= window.bytes.length) {
        this.#ends.set(source, offset + size);
        return window.bytes.subarray(from, from + size);
      }
    }
    const onward = this.#ends.get(source) === offset;
    this.#ends.set(source, offset + size);
    const most = source.size - offset;
    if (!onward || size >= WINDOW || most <= size) return source.read(offset, size);
    const bytes = await source.read(offset, Math.min(WINDOW, most));
    // found anew: others may have read in the meantime
    this.#windows = this.#windows.filter(window => window.source !== source);
    this.#windows.unshift({ source, offset, bytes });
    this.#windows.length = Math.min(this.#windows.length, WINDOWS);
    return bytes.subarray(0, size);
  }
}
