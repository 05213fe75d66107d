/**
 * blob-reader: source of an image's content: its entries in path order, with the chunks of its
 * files, which are read from their blobs and unpacked.
 *
 * makes entry, chunk (with unpacked bytes) and end
 * holds a batch, and the 4 MiB read last from blobs; for a blob with batches its CI table and the
 *   batch unpacked last, for a gzip layer its CI table and the 16 MiB inflated last
 */
import { Readable } from 'node:stream';
import { allocate, type Allocator } from '../../lib/memory/allocate.js';
import { BufferPool, PooledCopies } from '../../lib/memory/buffer-pool.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { walk, type Visit } from '../../lib/bootstrap/walk.js';
import type { StoredChunk } from '../../lib/model/stored.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { located } from '../../lib/errors.js';
import type { ChunkPart, EndPart, EntryPart } from '../../lib/model/parts.js';
import type { Entry } from '../../lib/model/entry.js';
import { BlobBlocks } from './blob-blocks.js';
import type { ReaderAt } from '../io/reader-at.js';
import { BatchBuilder, type Batch } from '../batch.js';
import { ChunkReader } from './chunk-reader.js';

export type ImagePart = EntryPart | ChunkPart<StoredChunk> | EndPart;

export interface BlobReaderOptions {
  bootstrap: Bootstrap;
  /** by blob index; chunks of blobs that are not here are left out */
  blobs: ReadonlyMap<number, ReaderAt>;
  /** for blobs that are unchanged layers, what contains their tables; by blob index */
  tables?: ReadonlyMap<number, ReaderAt>;
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
  const room: Allocator | undefined =
    copies && (size => (size <= pool.size ? copies.room(size) : allocate(size)));
  const seen = distinct ? new Map<number, Uint8Array>() : undefined;
  const firstNames = new Map<number, string>(); // of inodes with more than one name

  const readerOf = (blobIndex: number, source: ReaderAt): ChunkReader => {
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
    const linked = inode.type !== 'directory' && inode.nlink > 1;
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
const entryOf = (
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
