/**
 * compactor: source of a new blob, made of chunks of other blobs in their stored form.
 *
 * makes section and finish, for the artifact 'blob'
 * holds a batch of 512 KiB or of one chunk, 1 MiB of each of the blobs read last (at most four),
 *   and the CI table, 16 or 24 bytes per chunk
 *
 * The rows of the chunk table get their new places as the chunks are read. Their blob indexes are
 * left to the caller, because they say where to read from until all chunks have been read.
 */
import { RAFS_VERSIONS, type RafsVersion } from '../../lib/model/version.js';
import { Readable } from 'node:stream';
import { BlobFile } from '../../lib/blob/blob-file.js';
import { alignUp } from '../../lib/layout/align.js';
import type { ChunkTable } from '../../lib/chunk/chunk-table.js';
import { ChunkInfoWriter } from '../../lib/blob/chunk-info-writer.js';
import { compressorName } from '../../lib/compress/compressors.js';
import { chunkInfoSections, NO_CHUNK_INFO, NO_TOC } from '../../lib/blob/sections.js';
import { RafsError } from '../../lib/errors.js';
import { BlobFeature, Section } from '../../lib/layout/blob.js';
import { ChunkFlag, CHUNK_ALIGN } from '../../lib/layout/rafs.js';
import type { FinishPart, SectionPart } from '../../lib/model/parts.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import type { PlacedChunk } from '../../lib/model/chunk.js';
import { BatchBuilder, type Batch } from '../batch.js';
import { NO_DIGEST } from '../../lib/crypto/digest.js';

/** The bytes of a chunk as the new blob will store them. */
export interface StoredBytes {
  bytes: Buffer;
  compressed: boolean;
}

export interface CompactorOptions {
  chunks: ChunkTable;
  /** rows of the chunk table, in the order of their chunks in the blob */
  rows: Uint32Array;
  read: (row: number) => Promise<StoredBytes>;
  /** properties that the new blob takes from another */
  like: Pick<BlobInfo, 'compressor' | 'digester' | 'chunkSize'>;
  fsVersion: RafsVersion;
  /** chunks start at multiples of 4 KiB in the uncompressed blob */
  aligned: boolean;
  /** chunks have checksums in the CI table */
  checksums: boolean;
  /** sections are followed by tar headers */
  tarHeaders?: boolean;
  /** further BlobFeature bits */
  features?: number;
  /** called with the finished blob's facts, before the finish part */
  made: (blob: BlobInfo) => void;
}

/** Needs `prepareCompressors`. Fails with LIMIT for more than the format can hold. */
export const compactor = (options: CompactorOptions): Readable =>
  Readable.from(batches(options), { objectMode: true, highWaterMark: 2 });

async function* batches(options: CompactorOptions): AsyncIterable<Batch<SectionPart | FinishPart>> {
  const { chunks, rows, read, like, fsVersion, aligned, checksums } = options;
  const { alignsChunks, hasChunkInfo } = RAFS_VERSIONS[fsVersion];
  const { tarHeaders = false, made } = options;
  const features =
    BlobFeature.CAP_TAR_TOC +
    (alignsChunks ? BlobFeature.ALIGNED : 0) +
    (checksums ? BlobFeature.CHUNK_INFO_V2 : 0) +
    (tarHeaders ? BlobFeature.HAS_TAR_HEADER : 0) +
    (options.features ?? 0);
  const file = new BlobFile();
  const ci = new ChunkInfoWriter(checksums ? 2 : 1);
  let uncompressedSize = 0;
  const batch = new BatchBuilder<SectionPart | FinishPart>();

  for (const [index, row] of rows.entries()) {
    const { bytes, compressed } = await read(row);
    const placed = place(chunks, row, {
      index,
      compressedOffset: file.position,
      compressedSize: bytes.length,
      uncompressedOffset: uncompressedSize,
      compressed,
    });
    if (hasChunkInfo) ci.add(placed);
    uncompressedSize += aligned
      ? alignUp(placed.uncompressedSize, CHUNK_ALIGN)
      : placed.uncompressedSize;
    batch.add(file.append(bytes), bytes.length);
    if (batch.isFull) yield batch.take();
  }

  const dataSize = file.position;
  if (tarHeaders) batch.add(file.appendHeader(Section.BLOB, dataSize));
  let extent = NO_CHUNK_INFO;
  if (hasChunkInfo && rows.length > 0) {
    const compressor = compressorName(like.compressor);
    const table = ci.finish({ compressor, features, ciOffset: file.position });
    const sections = chunkInfoSections(file, table, { tarHeaders });
    let next = sections.next();
    for (; !next.done; next = sections.next()) batch.add(next.value);
    extent = next.value;
  }
  const blob: BlobInfo = {
    ...like,
    id: file.digest().toString('hex'),
    chunkCount: rows.length,
    features,
    compressedSize: file.position,
    uncompressedSize,
    ...NO_TOC,
    ...extent,
    metaDigest: NO_DIGEST,
    metaSize: 0,
  };
  made(blob);
  batch.add({ kind: 'finish', artifact: 'blob', name: blob.id });
  yield batch.take();
}

type NewPlace = Pick<
  PlacedChunk,
  'index' | 'compressedOffset' | 'compressedSize' | 'uncompressedOffset' | 'compressed'
>;

/** Gives a row its new place; returns the chunk in the form that a CI table takes. */
const place = (chunks: ChunkTable, row: number, at: NewPlace): PlacedChunk => {
  const uncompressedSize = chunks.uncompressedSize.get(row);
  if (!at.compressed && at.compressedSize !== uncompressedSize) {
    throw new RafsError('CORRUPT', `expected ${uncompressedSize} bytes, got ${at.compressedSize}`);
  }
  const flags = chunks.flags.get(row);
  const kept = flags & ChunkFlag.HAS_CRC32;
  chunks.index.data[row] = at.index;
  chunks.compressedOffset.data[row] = at.compressedOffset;
  chunks.compressedSize.data[row] = at.compressedSize;
  chunks.uncompressedOffset.data[row] = at.uncompressedOffset;
  chunks.flags.data[row] = kept | (at.compressed ? ChunkFlag.COMPRESSED : 0);
  return {
    ...at,
    uncompressedSize,
    digest: chunks.digest(row),
    crc32: kept ? chunks.crc32.get(row) : 0,
    fileOffset: 0,
    uniqueIndex: row,
    known: false,
    blobIndex: 0,
  };
};
