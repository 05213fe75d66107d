/**
 * blob-reader: source of an image's content: its entries in path order, with the chunks of its
 * files, which are read from their blobs and unpacked.
 *
 * makes entry, chunk (with unpacked bytes) and end
 * holds a batch, and the 4 MiB read last from blobs; for a blob with batches its CI table and the
 *   batch unpacked last, for a gzip layer its CI table and the 16 MiB inflated last
 */
import { Readable } from 'node:stream';
import { allocate, type Room } from '../../lib/memory/allocate.js';
import { BufferPool, PooledCopies } from '../../lib/memory/buffer-pool.js';
import {
  walk,
  type Bootstrap,
  type StoredChunk,
  type Visit,
} from '../../lib/bootstrap/bootstrap.js';
import {
  hasChunkInfo,
  isLegacyStargz,
  parseChunkInfo,
  parseChunkInfoHeader,
} from '../../lib/blob/chunk-info-table.js';
import type { ChunkInfo, ChunkInfoTable } from '../../lib/blob/chunk-info-table.js';
import type { BlobRecord } from '../../lib/bootstrap/bootstrap.js';
import { compressorName, prepareCompressors } from '../../lib/compress/compressors.js';
import { decrypt, sealedSize, secretOf } from '../../lib/crypto/aes-xts.js';
import { located, RafsError } from '../../lib/errors.js';
import { BlobFeature, ChunkInfoHeader } from '../../lib/layout/blob.js';
import type { ChunkPart, EndPart, Entry, EntryPart } from '../../lib/model/parts.js';
import { expand } from '../../lib/blob/toc.js';
import { BlobBlocks } from './blob-blocks.js';
import type { RandomBytes } from '../io/reader-at.js';
import { BatchBuilder, type Batch } from '../stage.js';
import { readMember, ZranReader } from './zran-reader.js';

export type ImagePart = EntryPart | ChunkPart<StoredChunk> | EndPart;

export interface BlobReaderOptions {
  bootstrap: Bootstrap;
  /** by blob index; chunks of blobs that are not here are left out */
  blobs: ReadonlyMap<number, RandomBytes>;
  /** for blobs that are unchanged layers, what contains their tables; by blob index */
  tables?: ReadonlyMap<number, RandomBytes>;
  /** read each chunk only once, where it is first used */
  distinct?: boolean;
  /** leave out the root directory, as a tar of a layer does */
  rootless?: boolean;
  /** pool for plain bytes, as from `contentPool`, if the sink reports its progress */
  pool?: BufferPool | undefined;
}

/** Least size of a buffer for content. */
const LEAST_POOLED = 0x80000;

/** A pool for the plain bytes of an image's chunks. */
export const contentPool = ({ chunkSize }: Bootstrap): BufferPool =>
  new BufferPool(Math.max(LEAST_POOLED, chunkSize));

/** The blobs stay open: the caller closes them. */
export const blobReader = (options: BlobReaderOptions): Readable =>
  Readable.from(batches(options), { objectMode: true, highWaterMark: 2 });

async function* batches(options: BlobReaderOptions): AsyncIterable<Batch<ImagePart>> {
  const { bootstrap, blobs, tables, distinct = false, rootless = false, pool } = options;
  await prepareCompressors();
  const readers = new Map<number, ChunkReader>();
  const blocks = new BlobBlocks();
  const copies = pool && new PooledCopies(pool);
  const room: Room | undefined =
    copies && (size => (size <= pool.size ? copies.room(size) : allocate(size)));
  const seen = distinct ? new Map<number, Uint8Array>() : undefined;
  const firstNames = new Map<number, string>(); // of inodes with more than one name

  const readerOf = (blobIndex: number, source: RandomBytes): ChunkReader => {
    let reader = readers.get(blobIndex);
    if (!reader) {
      const blob = bootstrap.blobs[blobIndex]!;
      reader = new ChunkReader(blob, source, blocks, { tables: tables?.get(blobIndex), room });
      readers.set(blobIndex, reader);
    }
    return reader;
  };

  const batch = new BatchBuilder<ImagePart>();
  for (const visit of walk(bootstrap)) {
    const { inode, path, repeated } = visit;
    if (rootless && path === '') continue;
    const linked = inode.type === 'file' && inode.nlink > 1;
    if (linked && !repeated) firstNames.set(inode.id, path);
    const target = repeated ? firstNames.get(inode.id) : undefined;
    batch.add({ kind: 'entry', entry: entryOf(bootstrap, visit, target) });
    if (inode.type === 'file' && !repeated) {
      for (const chunk of bootstrap.chunks(inode)) {
        const source = blobs.get(chunk.blobIndex);
        if (!source || (seen && !firstUse(seen, bootstrap, chunk))) continue;
        const reader = readerOf(chunk.blobIndex, source);
        try {
          const read = reader.read(chunk);
          // most lie in a block that is held: waiting would take longer than unpacking them
          const content = read instanceof Promise ? await read : read;
          batch.add({ kind: 'chunk', chunk, bytes: content }, content.length);
        } catch (error) {
          throw located(error, {
            path: `/${path}`,
            blob: reader.blob.id,
            chunk: chunk.index,
            offset: chunk.compressedOffset,
          });
        }
        if (batch.isFull) yield batch.take();
      }
    }
    batch.add({ kind: 'end' });
    if (batch.isFull) yield batch.take();
  }
  if (!batch.isEmpty) yield batch.take();
}

/** The entry for a name; `target` is the first name of the inode, if this is a further one. */
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

/** Whether a chunk comes for the first time. Keeps a bit per chunk of each blob. */
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
  if (at >= bits.length) return true; // the blob table does not count the blob's chunks
  const bit = 1 << (index % 8);
  if (bits[at]! & bit) return false;
  bits[at]! |= bit;
  return true;
};

export interface ChunkReaderOptions {
  /** where the blob's tables are, if not in the blob */
  tables?: RandomBytes | undefined;
  /** the CI table, if it has been read already */
  table?: ChunkInfoTable | undefined;
  /** makes the memory for a chunk; without it, chunks may share memory with each other */
  room?: Room | undefined;
}

/** Unpacks the chunks of one blob. */
export class ChunkReader {
  readonly blob: BlobRecord;
  #source: RandomBytes;
  #blocks: BlobBlocks;
  #table: Promise<ChunkInfoTable> | undefined;
  #tableSource: RandomBytes;
  #room: Room | undefined;
  #unit: { context: number; bytes: Buffer } | undefined; // the batch unpacked last
  #zran: ZranReader | undefined;

  constructor(
    blob: BlobRecord,
    source: RandomBytes,
    blocks: BlobBlocks,
    { tables = source, table, room }: ChunkReaderOptions = {},
  ) {
    this.blob = blob;
    this.#table = table && Promise.resolve(table);
    this.#source = source;
    this.#blocks = blocks;
    this.#tableSource = tables;
    this.#room = room;
  }

  /** The plain bytes; without a promise if the block with the stored ones is held. */
  read(chunk: StoredChunk): Buffer | Promise<Buffer> {
    const { features } = this.blob;
    if (features & BlobFeature.ZRAN) return this.#inflated(chunk);
    if (isLegacyStargz(this.blob)) return this.#member(chunk);
    if (features & BlobFeature.BATCH) {
      return this.#batchOf(chunk).then(bytes => bytes ?? this.#single(chunk));
    }
    return this.#single(chunk);
  }

  async #inflated(chunk: StoredChunk): Promise<Buffer> {
    const [info, table] = await this.#info(chunk);
    this.#zran ??= new ZranReader(this.#source, table);
    return this.#zran.read(info);
  }

  /** A chunk that is stored on its own. */
  #single(chunk: StoredChunk): Buffer | Promise<Buffer> {
    const most = chunk.encrypted ? sealedSize(chunk.uncompressedSize) : chunk.uncompressedSize;
    if (!chunk.compressed && chunk.compressedSize !== most) {
      throw new RafsError('CORRUPT', `${chunk.compressedSize} bytes, not ${most}`);
    }
    // a chunk is never stored in more bytes than it has
    if (chunk.compressedSize > Math.max(most, chunk.encrypted ? sealedSize(0) : 0)) {
      throw new RafsError('CORRUPT', `${chunk.uncompressedSize} in ${chunk.compressedSize} bytes`);
    }
    const { compressedOffset, compressedSize } = chunk;
    const stored = this.#blocks.read(this.#source, compressedOffset, compressedSize);
    if (!(stored instanceof Promise)) return this.#plain(chunk, stored);
    return stored.then(bytes => this.#plain(chunk, bytes));
  }

  #plain({ uncompressedSize, compressed, encrypted }: StoredChunk, stored: Buffer): Buffer {
    const packed = encrypted
      ? this.#unseal(stored, compressed ? undefined : uncompressedSize)
      : stored;
    const compressor = compressed ? compressorName(this.blob.compressor) : 'none';
    return expand(compressor, packed, uncompressedSize, {}, this.#room);
  }

  #unseal(stored: Buffer, size: number | undefined): Buffer {
    const secret = secretOf(this.blob);
    if (!secret) throw new RafsError('CORRUPT', 'an encrypted chunk of a blob without a key');
    return decrypt(secret, stored, size);
  }

  /** The chunk as the CI table describes it. */
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

  /** A chunk that is a gzip member. Its stored size is an estimate, which is never too small. */
  async #member({ compressedOffset, compressedSize, uncompressedSize }: StoredChunk) {
    const most = Math.min(compressedSize, 2 * uncompressedSize + MOST_HEADER);
    const size = Math.min(most, this.#source.size - compressedOffset);
    const stored = await this.#blocks.read(this.#source, compressedOffset, size);
    return readMember(stored, uncompressedSize);
  }

  /** The chunk, taken from its batch; undefined if it is not in one. */
  async #batchOf(chunk: StoredChunk): Promise<Buffer | undefined> {
    const [info, table] = await this.#info(chunk);
    const { batch, compressedOffset, encrypted, uncompressedSize: size } = info;
    if (!batch) return undefined;
    if (this.#unit?.context !== batch.context) {
      const unit = table.batch(batch.context);
      const stored = await this.#blocks.read(this.#source, compressedOffset, unit.compressedSize);
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

/** Reads the CI table of a blob and compares it with the blob table. */
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

/** Most bytes of a gzip member's header: room for a longer name and comment than anyone uses. */
const MOST_HEADER = 0x10000;
