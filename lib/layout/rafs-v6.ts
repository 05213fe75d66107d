/**
 * RAFS v6 records: an EROFS image whose files are chunk-based inodes pointing into extra devices,
 * with tables of its own in places that EROFS ignores. All offsets are from the image's start.
 */
import { SUPER_FLAGS } from './rafs.js';
import { i64, bytes, fixed, flags, pad, struct, text, u16, u32, u64, u8 } from './struct.js';

/** Where the superblock lies, and what is aligned to what. */
export const V6 = {
  SUPER_OFFSET: 1024,
  EXTENDED_OFFSET: 1152,
  DEVICE_OFFSET: 1408,
  DEVICE_SLOT: 11,
  META_ALIGN: 4096,
  DEVICE_ALIGN: 0x80000,
  SLOT_SIZE: 32, // an inode's position is its nid times this
  BLOCK_BITS: 12,
  TARFS_BLOCK_BITS: 9,
  MAX_BLOBS: 254,
  MAX_CHUNK_INDEX: 0xfffffe,
} as const;

export const FEATURE_COMPAT = 0x4000_0000;
/** CHUNKED_FILE and DEVICE_TABLE, exactly. */
export const FEATURE_INCOMPAT = 0x0000_000c;

/** EROFS superblock, at 1024. */
export const SuperBlock = struct('SuperBlock', 128, {
  magic: fixed(u32, 0xe0f5e1e2),
  checksum: u32,
  featureCompat: u32,
  blockBits: u8,
  extSlots: u8,
  rootNid: u16,
  inodeCount: u64, // number of names: a hardlinked file counts once per name
  buildTime: u64,
  buildTimeNsec: u32,
  blocks: u32,
  metaBlkaddr: u32,
  xattrBlkaddr: u32,
  uuid: bytes(16),
  volumeName: bytes(16),
  featureIncompat: u32,
  union1: u16,
  extraDevices: u16,
  devtSlotoff: u16,
  reserved: pad(38),
});

/** RAFS superblock, at 1152. */
export const ExtendedSuperBlock = struct('ExtendedSuperBlock', 256, {
  flags: flags(u64, SUPER_FLAGS),
  blobTableOffset: u64,
  blobTableSize: u32,
  chunkSize: u32,
  chunkTableOffset: u64,
  chunkTableSize: u64,
  prefetchTableOffset: u64,
  prefetchTableSize: u32,
  padding: pad(4),
  reserved: pad(200),
});

/** One slot of the EROFS device table: blob i is device i + 1. */
export const DeviceSlot = struct('DeviceSlot', 128, {
  blobId: text(64),
  blocks: u32,
  mappedBlkaddr: u32,
  reserved: pad(56),
});

/** One blob in the blob table. An encrypted blob keeps its key in metaDigest, its IV after it. */
export const BlobEntry = struct('BlobEntry', 256, {
  blobId: text(64),
  blobIndex: u32,
  chunkSize: u32,
  chunkCount: u32,
  compressor: u32,
  digester: u32,
  features: u32,
  compressedSize: u64,
  uncompressedSize: u64,
  tocSize: u32,
  ciCompressor: u32,
  ciOffset: u64,
  ciCompressedSize: u64,
  ciUncompressedSize: u64,
  tocDigest: bytes(32),
  metaDigest: bytes(32),
  metaSize: bytes(8),
  cipherIv: bytes(8),
  cipher: u32,
  reserved: pad(36),
});

export const InodeLayout = { FLAT_PLAIN: 0, FLAT_INLINE: 2, CHUNK_BASED: 4 } as const;

/** Inode of 64 bytes; format is 1 + 2 × layout. */
export const ExtendedInode = struct('ExtendedInode', 64, {
  format: u16,
  xattrIcount: u16,
  mode: u16,
  reserved1: pad(2),
  size: u64,
  union1: u32, // data block, device number or chunk header, by type
  ino: u32,
  uid: u32,
  gid: u32,
  mtime: i64,
  mtimeNsec: u32,
  nlink: u32,
  reserved2: pad(16),
});

/** Inode of 32 bytes; format is 2 × layout. Read, never written. */
export const CompactInode = struct('CompactInode', 32, {
  format: u16,
  xattrIcount: u16,
  mode: u16,
  nlink: u16,
  size: u32,
  reserved1: pad(4),
  union1: u32,
  ino: u32,
  uid: u16,
  gid: u16,
  reserved2: pad(4),
});

/** Head of a directory entry; names follow all heads of their block. */
export const Dirent = struct('Dirent', 12, {
  nid: u64,
  nameOffset: u16, // from the start of the block
  fileType: u8,
  reserved: pad(1),
});

export const FileType = {
  UNKNOWN: 0,
  FILE: 1,
  DIRECTORY: 2,
  CHAR: 3,
  BLOCK: 4,
  FIFO: 5,
  SOCKET: 6,
  SYMLINK: 7,
} as const;

/** Head of an inode's xattr area. */
export const XattrHeader = struct('XattrHeader', 12, {
  nameFilter: pad(4),
  sharedCount: u8,
  reserved: pad(7),
});

/** Head of one xattr; the name without its prefix and the value follow, padded to 4. */
export const XattrEntry = struct('XattrEntry', 4, {
  nameSize: u8,
  nameIndex: u8,
  valueSize: u16,
});

/** One entry of a file's chunk index array. */
export const ChunkIndexEntry = struct('ChunkIndexEntry', 8, {
  chunkIndexLow: u16,
  deviceId: u8, // blob index + 1
  chunkIndexHigh: u8,
  blkaddr: u32, // of the uncompressed blob
});

/** In the low 16 bits of a regular file's union1, together with log2(chunk / block). */
export const CHUNK_FORMAT_INDEXES = 0x20;
