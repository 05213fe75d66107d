/**
 * Records of EROFS's own compression, with full indexes. A file is cut into logical clusters of one
 * block, each with an index entry. An entry says where the physical cluster begins that holds the
 * data from there on, or how many entries back to look for that.
 */
import { fixed, pad, struct, u16, u32, u8 } from './struct.js';

/** Compressed data at the end of a cluster, after zeros; configurations; clusters of any size. */
export const FEATURE_COMPRESSED = 0x3;

/** The inode layout; those of inodes without compression are in layout/v6.ts. */
export const COMPRESSED_FULL = 1;

/** Numbers of algorithms. The superblock's union1 has a bit for each. */
export const Algorithm = { LZ4: 0, ZSTD: 3 } as const;

/** After the superblock, each aligned to 4: a size, and that many bytes. */
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

/** After inode and xattrs, aligned; index entries follow it. */
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

/** PLAIN, for data that are stored as they are in one block of the image, and HEAD. */
export const HeadEntry = struct('HeadEntry', 8, {
  type: u16, // ClusterType
  clusterOffset: u16, // where in the logical cluster the data begin
  blkaddr: u32,
});

/** NONHEAD: how many entries back the head is, and how many entries ahead the next one. */
export const NonheadEntry = struct('NonheadEntry', 8, {
  type: fixed(u16, ClusterType.NONHEAD),
  clusterOffset: pad(2),
  back: u16, // in the first one after a head: the cluster's number of blocks, with CLUSTER_SIZE set
  on: u16,
});
export const CLUSTER_SIZE = 0x800;
