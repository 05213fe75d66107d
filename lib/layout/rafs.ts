/** What RAFS v5 and v6 have in common. */

import type { Digester } from '../crypto/digest.js';
import { COMPRESSION_FLAG_NAMES } from './compressors.js';
import { struct, bytes, u32, u64 } from './struct.js';

/** Chunks begin at multiples of it in the uncompressed address space of their blob. */
export const CHUNK_ALIGN = 0x1000;

/** Flags of the extended superblock, besides those of compressors; v5's superblock has the same. */
export const SuperFlag = {
  HASH_BLAKE3: 0x4,
  HASH_SHA256: 0x8,
  EXPLICIT_UID_GID: 0x10,
  HAS_XATTR: 0x20,
  INLINED_CHUNK_DIGEST: 0x100,
  TARTFS_MODE: 0x200,
  ENCRYPTION_NONE: 16777216,
  ENCRYPTION_AES_128_XTS: 33554432,
  PRESERVED_1: 67108864,
  PRESERVED_2: 134217728,
  PRESERVED_3: 268435456,
  PRESERVED_4: 536870912,
  PRESERVED_5: 1073741824,
  PRESERVED_6: 2147483648,
} as const;

/** All flags of a superblock, by the names that are printed for them. */
export const SUPER_FLAGS = { ...COMPRESSION_FLAG_NAMES, ...SuperFlag } as const;

/** Flags of the digest algorithms. */
export const DIGEST_FLAGS = {
  blake3: SuperFlag.HASH_BLAKE3,
  sha256: SuperFlag.HASH_SHA256,
} as const satisfies Readonly<Record<Digester, number>>;

/** Encryption of a blob; two more kinds have numbers, but no image has them. */
export const Cipher = { NONE: 0, AES_128_XTS: 1 } as const;

/** Prefixes of xattr names and their indexes, longest first where one is within another. */
export const XATTR_PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ['user.', 1],
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['trusted.', 4],
  ['security.', 6],
];

export const ChunkFlag = {
  COMPRESSED: 0x1,
  HOLE: 0x2,
  ENCRYPTED: 0x4,
  BATCH: 0x8,
  HAS_CRC32: 0x10,
} as const;

/** One record of the chunk table; v5 keeps the same record after its inodes. */
export const ChunkRecord = struct('ChunkRecord', 80, {
  digest: bytes(32),
  blobIndex: u32,
  flags: u32,
  compressedSize: u32,
  uncompressedSize: u32,
  compressedOffset: u64,
  uncompressedOffset: u64,
  fileOffset: u64,
  index: u32,
  crc32: u32,
});
