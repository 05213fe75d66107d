/** Placed chunks for tests that do not care how they were made. */
import { createHash } from 'node:crypto';
import type { BlobInfo } from '../../../lib/model/blob.js';
import type { PlacedChunk } from '../../../lib/model/chunk.js';

export const placedChunk = (n: number, more: Partial<PlacedChunk> = {}): PlacedChunk => ({
  fileOffset: 0,
  uncompressedSize: 4096,
  digest: createHash('sha256').update(`chunk ${n}`).digest(),
  crc32: n,
  uniqueIndex: n,
  known: false,
  compressed: false,
  blobIndex: 0,
  index: n,
  compressedOffset: n * 4096,
  compressedSize: 4096,
  uncompressedOffset: n * 4096,
  ...more,
});

export const blobInfo = (more: Partial<BlobInfo> = {}): BlobInfo => ({
  id: 'b'.repeat(64),
  chunkSize: 0x100000,
  chunkCount: 1,
  compressor: 0,
  digester: 1,
  features: 0x4000_0001,
  compressedSize: 4096,
  uncompressedSize: 4096,
  tocSize: 0,
  tocDigest: Buffer.alloc(32),
  ciCompressor: 0,
  ciOffset: 0,
  ciCompressedSize: 16,
  ciUncompressedSize: 16,
  metaDigest: Buffer.alloc(32),
  metaSize: 0,
  ...more,
});
