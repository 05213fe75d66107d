/**
 * Records of EROFS's own compression, with full indexes: a file is cut into logical clusters of a
 * block, each has an index entry, and an entry says where the physical cluster begins that holds
 * the data from there on, or how far back that was said.
 */
import { fixed, pad, struct, u16, u32, u8 } from '../struct.js';

/** Compressed data at the end of its cluster behind zeros; configurations; clusters of any size. */
export const FEATURE_COMPRESSED = 0x3;

/** The inode layout; those of inodes without compression are in layout/v6.ts. */
export const COMPRESSED_FULL = 1;

/** Numbers of algorithms. In the superblock's union1 they are bits. */
export const Algorithm = { LZ4: 0, ZSTD: 3 } as const;

/** Behind the superblock, each aligned to 4: a size, and that many bytes. */
export const Lz4Config = struct('Lz4Config', 16, {
  size: fixed(u16, 14),
  maxDistance: u16,
  maxClusterBlocks: u16,
  reserved: pad(10),
});
export const ZstdConfig = struct('ZstdConfig', 8, {
  size: fixed(u16, 6),
  format: fixed(u8, 0),
  windowLogMinus10: u8,
  reserved: pad(4),
});

/** Behind inode and xattrs, aligned; index entries follow it. */
export const MAP_ALIGN = 8;
export const MapHeader = struct('MapHeader', 16, {
  fragmentOffset: pad(4),
  advise: u16, // MapAdvise
  algorithms: u8, // for heads of kind 1 in the low half, of kind 2 in the high one
  clusterBits: u8, // log2 of a logical cluster in blocks
  gap: pad(8),
});

/** Clusters that start with a head of kind 1 may have several blocks. */
export const MapAdvise = { BIG_CLUSTER_1: 0x2 } as const;

export const ClusterType = { PLAIN: 0, HEAD: 1, NONHEAD: 2 } as const;

/** PLAIN, where one block of the image is the data, and HEAD. */
export const HeadEntry = struct('HeadEntry', 8, {
  type: u16, // ClusterType
  clusterOffset: u16, // where in the logical cluster the data begin
  blkaddr: u32,
});

/** NONHEAD: how many entries back the head is, and how many on the next. */
export const NonheadEntry = struct('NonheadEntry', 8, {
  type: fixed(u16, ClusterType.NONHEAD),
  clusterOffset: pad(2),
  back: u16, // in the first one behind a head: the blocks of the cluster, and CLUSTER_SIZE
  on: u16,
});
export const CLUSTER_SIZE = 0x800;
