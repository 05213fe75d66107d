/**
 * RAFS v5 records. A bootstrap is a superblock, tables of inodes, of inodes to prefetch and of
 * blobs, then one record per name: an inode with its name, symlink target, xattrs and chunks, each
 * padded to 8 bytes. All offsets are from the start of the file.
 */
import { i64, bytes, fixed, flags, pad, struct, u16, u32, u64 } from './struct.js';
import { SUPER_FLAGS } from './rafs.js';

export const V5 = {
  MAGIC: 0x52414653,
  VERSION: 0x500,
  SUPER_SIZE: 8192,
  ALIGN: 8,
  ROOT: 1, // number of the root, and its place in the inode table, which counts from 1
  MAX_SIZE: 0x8000_0000, // readers refuse more than this
  MAX_NAME: 256,
  MAX_CHUNK_INDEX: 0xfffffe,
} as const;

/** Superblock, at 0. Offsets are set even if the table there is empty. */
export const SuperBlockV5 = struct('SuperBlockV5', V5.SUPER_SIZE, {
  magic: fixed(u32, V5.MAGIC),
  version: fixed(u32, V5.VERSION),
  superBlockSize: fixed(u32, V5.SUPER_SIZE),
  chunkSize: u32, // the format calls it block size
  flags: flags(u64, SUPER_FLAGS),
  inodeCount: u64, // hardlinks counted once
  inodeTableOffset: u64,
  prefetchTableOffset: u64,
  blobTableOffset: u64,
  inodeTableEntries: u32, // without the one that pads the table
  prefetchTableEntries: u32,
  blobTableSize: u32, // bytes, with padding
  extendedBlobTableEntries: u32,
  extendedBlobTableOffset: u64,
  reserved: pad(8112),
});

/** Head of a blob in the blob table; its id follows, and a NUL unless it is the last one. */
export const BlobHeadV5 = struct('BlobHeadV5', 8, {
  readaheadOffset: u32,
  readaheadSize: u32,
});

/** The other facts about a blob. */
export const ExtendedBlobEntryV5 = struct('ExtendedBlobEntryV5', 64, {
  chunkCount: u32,
  features: u32,
  uncompressedSize: u64,
  compressedSize: u64,
  reserved: pad(40),
});

/** An inode, one record per name; `ino` is the place in the inode table of the first name. */
export const InodeV5 = struct('InodeV5', 128, {
  digest: bytes(32),
  parent: u64, // 0 for the root
  ino: u64,
  uid: u32,
  gid: u32,
  projid: u32,
  mode: u32,
  size: u64,
  blocks: u64, // units of 512 bytes
  flags: u64,
  nlink: u32,
  childIndex: u32, // of a directory's first child, in the inode table
  childCount: u32, // of a directory; of a file its chunks
  nameSize: u16,
  symlinkSize: u16,
  rdev: u32,
  mtimeNsec: u32,
  mtime: i64,
  reserved: pad(8),
});

export const InodeFlagV5 = {
  SYMLINK: 0x1,
  HARDLINK: 0x2, // set only for links in a tar; nlink is what counts
  XATTR: 0x4,
  HAS_HOLE: 0x8,
} as const;

/** Before the xattrs of an inode: their size without padding. */
export const XattrHeadV5 = struct('XattrHeadV5', 8, { size: u64 });

/** Before each xattr: the total size of its name, a NUL and its value, which follow. */
export const XattrPairV5 = struct('XattrPairV5', 4, { size: u32 });
