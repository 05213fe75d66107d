/**
 * The view of a bootstrap that every reader uses, whichever version of RAFS it is.
 *
 * An image is one Buffer. Inodes are decoded on demand and not kept, so a walk over a million of
 * them holds the image and a few bits per inode.
 */
import type { RafsVersion } from '../model/version.js';
import type { Compressor } from '../layout/compressors.js';
import type { Digester } from '../crypto/digest.js';
import type { BlobRecord, TableExtent, Inode, Child, StoredChunk } from '../model/stored.js';

/**
 * An image. Nothing is returned unchecked: any method fails with CORRUPT if the bytes that it reads
 * make no sense.
 */
export interface Bootstrap {
  readonly version: RafsVersion;
  readonly flags: number;
  readonly chunkSize: number;
  /** 4096, or 512 where the blobs are tars */
  readonly blockSize: number;
  readonly compressor: Compressor;
  readonly digester: Digester;
  readonly tarfs: boolean;
  readonly blobs: readonly BlobRecord[];
  /** as the superblock states it */
  readonly inodeCount: number;
  readonly rootId: number;
  /** every id is below this */
  readonly idLimit: number;
  /** the most that an image of this size can hold if nothing in it is used twice */
  readonly limits: { names: number; chunks: number };
  /** inodes to read ahead, in the order of their patterns */
  readonly prefetch: readonly number[];
  readonly tables: { blob: TableExtent; prefetch: TableExtent; chunk: TableExtent };
  inode(id: number): Inode;
  /** The children of a directory in byte order; `parentId` is what its '..' must say. */
  children(dir: Inode, parentId: number): Iterable<Child>;
  /** The chunks of a file, in order and without gaps. */
  chunks(file: Inode): Iterable<StoredChunk>;
  /** Values by full name, in their order on disk. */
  xattrs(inode: Inode): ReadonlyMap<string, Buffer>;
  symlinkTarget(symlink: Inode): string;
  /** every name of a file has an inode of its own, and these should agree; v5 only */
  readonly recordPerName?: boolean;
  /** Fails with MISMATCH if the digest of an inode is wrong; needs `prepareDigests`. */
  verifyRecord?(inode: Inode): void;
  /** All records of the chunk table, without file offsets; absent where the format has no table. */
  chunkRecords?(): Iterable<StoredChunk>;
  /** The chunk whose record lies at an offset, as `recordAt` has it; without its file offset. */
  chunkRecord(at: number): StoredChunk;
}
