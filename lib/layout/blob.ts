/**
 * What a data blob carries besides its chunks: the table of chunk information (CI table) with its
 * header, and the table of contents (TOC). Sections are written one after another, each followed by
 * its tar header.
 */
import { TOC_COMPRESSION_FLAGS } from './compressors.js';
import { bits64, bytes, fixed, flags, pad, struct, text, u32, u64, u8 } from './struct.js';

/** Features of a blob, in the blob table and in the CI header. */
export const BlobFeature = {
  ALIGNED: 0x1,
  INLINED_FS_META: 0x2,
  CHUNK_INFO_V2: 0x4,
  ZRAN: 0x8,
  SEPARATE: 0x10,
  INLINED_CHUNK_DIGEST: 0x20,
  TARFS: 0x40,
  BATCH: 0x80,
  ENCRYPTED: 0x100,
  IS_CHUNKDICT_GENERATED: 0x200,
  IS_SEPARATED_WITH_PREFETCH_FILES: 0x400,
  EXTERNAL: 0x800,
  HAS_TAR_HEADER: 0x1000_0000,
  HAS_TOC: 0x2000_0000,
  CAP_TAR_TOC: 0x4000_0000,
} as const;

/** Features that make an image invalid: reserved bits, and one that is used only in memory. */
export const INVALID_FEATURES = 0x8000_f000;

export const CHUNK_INFO_MAGIC = 0xb10bb10b;

/** Header of the CI table: 4096 bytes, directly behind the stored table. */
export const ChunkInfoHeader = struct('ChunkInfoHeader', 4096, {
  magic: fixed(u32, CHUNK_INFO_MAGIC),
  features: u32,
  ciCompressor: u32,
  chunkCount: u32,
  ciOffset: u64,
  ciCompressedSize: u64,
  ciUncompressedSize: u64,
  contextOffset: u64, // in the uncompressed CI table; 0 without contexts
  contextSize: u64, // contexts and dictionaries
  contextCount: u32,
  reserved: pad(4032),
  magic2: fixed(u32, CHUNK_INFO_MAGIC),
});

/** One chunk in the CI table, format 1; sizes are stored minus one, in two parts. */
export const ChunkInfoV1 = struct('ChunkInfoV1', 16, {
  uncompressed: bits64({ reserved: 8, sizeHigh: 4, offset4k: 32, sizeLow: 20 }),
  compressed: bits64({ offset: 40, sizeHigh: 4, sizeLow: 20 }),
});

/** One chunk in the CI table, format 2. */
export const ChunkInfoV2 = struct('ChunkInfoV2', 24, {
  uncompressed: bits64({ offset4k: 32, sizeMinus1: 24, flags: 8 }),
  compressed: bits64({ offset: 40, size: 24 }),
  data: bits64({ offset: 32, index: 32 }), // into a zran or batch context; or crc32 in `offset`
});

export const ChunkInfoFlag = {
  COMPRESSED: 0x1,
  ZRAN: 0x2,
  BATCH: 0x4,
  ENCRYPTED: 0x8,
  HAS_CRC32: 0x10,
} as const;

/** A batch of small chunks stored as one; these follow the chunk entries in the CI table. */
export const BatchContext = struct('BatchContext', 40, {
  compressedSize: u32,
  uncompressedBatchSize: u32,
  reserved: pad(32),
});

/** A place where inflating a gzip layer can start; these follow the chunk entries, as above. */
export const ZranContext = struct('ZranContext', 40, {
  inOffset: u64, // in the layer
  outOffset: u64, // in what it inflates to
  dictOffset: u64, // in the dictionaries, which follow the contexts
  inSize: u32,
  outSize: u32,
  dictSize: u32,
  byte: u8, // the one before inOffset, if bits of it are still to be read
  bits: u8, // how many of them, from its top
  reserved: pad(2),
});

/** Compression of a section, in its TOC entry. */
const TOC_FLAGS = Object.fromEntries(
  Object.entries(TOC_COMPRESSION_FLAGS).flatMap(([name, flag]) => (flag ? [[name, flag]] : [])),
) as Readonly<Record<string, number>>; // pairs of a name and a number

/** Table of contents entry, at the tail of a blob. */
export const TocEntry = struct('TocEntry', 128, {
  flags: flags(u32, TOC_FLAGS),
  reserved1: pad(4),
  name: text(16),
  uncompressedDigest: bytes(32), // sha256
  compressedOffset: u64,
  compressedSize: u64,
  uncompressedSize: u64,
  reserved2: pad(48),
});

/** Names of a blob's sections, in their order. */
export const Section = {
  BLOB: 'image.blob',
  META: 'blob.meta',
  META_HEADER: 'blob.meta.header',
  DIGEST: 'blob.digest',
  BOOT: 'image.boot',
  TOC: 'rafs.blob.toc',
} as const;
