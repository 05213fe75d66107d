/**
 * blob-writer: gives every new chunk its place in the blob, and writes the blob's sections.
 *
 * takes chunk (packed) and batch, makes chunk (placed), section, finish (of a cache) and blob,
 *   passes entry, end and external
 * holds the CI table: 16 bytes per chunk, or 24 with batches or encryption, and 40 per batch; with
 *   a TOC also the digests, 32 bytes per chunk
 *
 * Sections are written one after another, since the blob may be a pipe: chunk data, CI table with
 * its header, chunk digests, then the TOC, unless a bootstrap is to be inlined before it.
 */
import { RAFS_VERSIONS, type RafsVersion } from '../../lib/model/version.js';
import { collectNow, NO_BYTES } from '../../lib/memory/allocate.js';
import { BlobFile } from '../../lib/blob/blob-file.js';
import { alignUp } from '../../lib/layout/align.js';
import {
  blobEnd,
  cachedChunkInfo,
  chunkInfoSections,
  digestSections,
  NO_CHUNK_INFO,
  NO_TOC,
  tocSection,
  type ChunkInfoExtent,
} from '../../lib/blob/sections.js';
import { ChunkInfoWriter } from '../../lib/blob/chunk-info-writer.js';
import { ByteArena } from '../../lib/memory/columns.js';
import { decompress } from '../../lib/compress/compressors.js';
import { COMPRESSORS, type Compressor } from '../../lib/layout/compressors.js';
import { encrypt, isMistakable, type Secret } from '../../lib/crypto/aes-xts.js';
import { DIGESTERS, type Digester, NO_DIGEST } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { BatchContext, BlobFeature, Section } from '../../lib/layout/blob.js';
import type {
  ChunkBatchPart,
  BlobPart,
  ChunkPart,
  EndPart,
  EntryPart,
  ExternalPart,
  FinishPart,
  SectionPart,
} from '../../lib/model/parts.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import type { NamedChunk, PackedChunk, PlacedChunk } from '../../lib/model/chunk.js';
import { prefetchMatcher } from '../../lib/layer/prefetch.js';
import { Stage, type Push } from '../stage.js';
import { CHUNK_ALIGN } from '../../lib/layout/rafs.js';

/** Id in the blob table for a blob that holds its own bootstrap, whose hash is not known yet. */
export const INLINED_BLOB_ID = 'x'.repeat(64);

export interface BlobWriterOptions {
  /** what is written; the bootstrap finalizer goes on with it. Default: one of its own */
  file?: BlobFile;
  compressor: Compressor;
  digester: Digester;
  chunkSize: number;
  inlineMeta: boolean;
  blobToc: boolean;
  /** instead of the sha256 of the blob */
  blobId?: string | undefined;
  /** compressed offset of the first chunk, for a blob that is part of a larger file */
  blobOffset?: number;
  /** write what nydusd would cache of the blob, instead of the blob */
  cache?: boolean;
  /** besides the blob, write its blob meta as nydusd would cache it */
  copies?: boolean;
  /** small chunks may come in batches */
  batched?: boolean;
  /** for encrypting chunks, batches, CI table and header */
  secret?: Secret | undefined;
  /** default: 6; blobs of v5 have no CI table */
  fsVersion?: RafsVersion;
  /** chunks start at multiples of 4 KiB of the uncompressed blob; default: true */
  alignedChunk?: boolean;
  /** patterns (lib/layer/prefetch.ts) of files that come first, to be read ahead; v5 only */
  readahead?: readonly string[];
}

type In = EntryPart | ChunkPart<PackedChunk> | ChunkBatchPart | EndPart | ExternalPart;
type Out =
  | EntryPart
  | ChunkPart<PlacedChunk>
  | ChunkPart<NamedChunk>
  | EndPart
  | ExternalPart
  | SectionPart
  | FinishPart
  | BlobPart;

/** The bytes, padded with zeros to a multiple of `unit`. */
const padded = (bytes: Buffer, unit: number): Buffer =>
  bytes.length % unit === 0 ? bytes : Buffer.concat([bytes], alignUp(bytes.length, unit));

export const blobWriter = ({
  file = new BlobFile(),
  compressor,
  digester,
  chunkSize,
  inlineMeta,
  blobToc,
  blobId,
  blobOffset = 0,
  cache = false,
  copies = false,
  batched = false,
  secret,
  fsVersion = 6,
  alignedChunk = true,
  readahead = [],
}: BlobWriterOptions) => {
  const { alignsChunks, hasChunkInfo } = RAFS_VERSIONS[fsVersion];
  const ci = new ChunkInfoWriter(batched || secret ? 2 : 1);
  const contexts = batched ? new ByteArena() : undefined;
  let contextCount = 0;
  const digests = new ByteArena();
  const unit = alignedChunk ? CHUNK_ALIGN : 1;
  const patternOf = prefetchMatcher(readahead);
  const tarHeaders = inlineMeta || blobToc;
  const features =
    BlobFeature.CAP_TAR_TOC +
    (alignsChunks ? BlobFeature.ALIGNED : 0) +
    (batched || secret ? BlobFeature.CHUNK_INFO_V2 : 0) +
    (batched ? BlobFeature.BATCH : 0) +
    (secret ? BlobFeature.ENCRYPTED : 0) +
    (tarHeaders ? BlobFeature.HAS_TAR_HEADER : 0) +
    (inlineMeta ? BlobFeature.INLINED_FS_META : 0) +
    (blobToc ? BlobFeature.HAS_TOC + BlobFeature.INLINED_CHUNK_DIGEST : 0);
  let uncompressedOffset = 0;
  let chunkCount = 0;
  let ahead = false;
  let readaheadSize = 0;

  const seal = (bytes: Buffer): Buffer => (secret ? encrypt(secret, bytes) : bytes);

  /** The bytes to encrypt: decompressed if a reader would mistake them for padded ones. */
  const sealable = (bytes: Buffer, uncompressedSize: number): Buffer => {
    if (!secret || !isMistakable(bytes)) return bytes;
    if (bytes.length < uncompressedSize) return decompress(compressor, bytes, uncompressedSize);
    throw new RafsError(
      'LIMIT',
      'a chunk of 18 bytes that ends in 78 90 cannot be stored encrypted',
    );
  };

  const place = (chunk: PackedChunk, compressedSize: number): PlacedChunk => {
    const { fileOffset, uncompressedSize, digest, crc32, uniqueIndex, known, compressed } = chunk;
    // field by field: spreading objects costs ten times as much
    const placed: PlacedChunk = {
      fileOffset,
      uncompressedSize,
      digest,
      crc32,
      uniqueIndex,
      known,
      compressed,
      blobIndex: 0,
      index: chunkCount++,
      compressedOffset: blobOffset + file.position,
      compressedSize,
      uncompressedOffset,
    };
    if (chunk.batch) placed.batch = chunk.batch;
    if (secret) placed.encrypted = true;
    uncompressedOffset += alignUp(chunk.uncompressedSize, unit);
    if (ahead) readaheadSize += compressedSize;
    if (hasChunkInfo) ci.add(placed);
    if (blobToc) digests.add(chunk.digest);
    return placed;
  };

  /** The sections after the chunk data, for a blob that has chunks. */
  function* tail(): Generator<SectionPart, BlobInfo> {
    collectNow(); // so that garbage is not held beside the tables
    const dataSize = file.position;
    if (tarHeaders) yield file.appendHeader(Section.BLOB, dataSize);
    file.addToTable(Section.BLOB, blobOffset, {
      compressor: 'none',
      compressedSize: dataSize,
      uncompressedSize: uncompressedOffset,
      uncompressedDigest: file.digest(), // covers the tar header too, as in nydus-image
    });
    const ciPlace = hasChunkInfo ? yield* chunkInfo() : NO_CHUNK_INFO;
    if (blobToc) yield* digestSections(file, digests.view(0, digests.length));
    const toc = blobToc && !inlineMeta ? yield* tocSection(file) : NO_TOC;
    return {
      id: inlineMeta ? INLINED_BLOB_ID : blobId || file.digest().toString('hex'),
      chunkSize,
      chunkCount,
      compressor: COMPRESSORS[compressor],
      digester: DIGESTERS[digester],
      features,
      compressedSize: file.position,
      uncompressedSize: uncompressedOffset,
      ...toc,
      ...ciPlace,
      metaDigest: secret ? secret.key : NO_DIGEST,
      metaSize: 0,
      ...(secret ? { cipherIv: secret.iv } : {}),
      readaheadSize,
    };
  }

  /** The CI table with its header. */
  function* chunkInfo(): Generator<SectionPart, ChunkInfoExtent> {
    const table = ci.finish({
      compressor,
      features,
      ciOffset: file.position,
      secret,
      contextCount,
      ...(contexts ? { contexts: contexts.view(0, contexts.length) } : {}),
    });
    if (cache || copies) yield* cachedChunkInfo(table);
    return yield* chunkInfoSections(file, table, { tarHeaders, header: seal(table.header) });
  }

  /** Stores a new chunk. One in a batch only gets its place, which is where the batch will lie. */
  const newChunk = ({ chunk, bytes }: ChunkPart<PackedChunk>, push: Push<Out>): void => {
    if (chunk.batch) {
      push({ kind: 'chunk', chunk: place(chunk, 0), bytes: NO_BYTES });
    } else {
      const kept = sealable(bytes, chunk.uncompressedSize);
      const stored = seal(kept);
      if (kept !== bytes) chunk.compressed = false;
      push({ kind: 'chunk', chunk: place(chunk, stored.length), bytes: NO_BYTES });
      const section = file.append(stored); // counted and hashed even if it is not written
      if (!cache) push(section);
    }
    if (cache) push({ kind: 'section', artifact: 'cache-data', bytes: padded(bytes, unit) });
  };

  const batch = ({ bytes, uncompressedSize }: ChunkBatchPart, push: Push<Out>): void => {
    const stored = seal(sealable(bytes, uncompressedSize));
    const context = { compressedSize: stored.length, uncompressedBatchSize: uncompressedSize };
    contexts!.add(BatchContext.encode(context)); // batches only come if `batched` is set
    contextCount++;
    const section = file.append(stored);
    if (!cache) push(section);
  };

  return new Stage<In, Out>('blob-writer', {
    transform(part, push) {
      if (part.kind === 'batch') {
        batch(part, push);
      } else if (part.kind !== 'chunk') {
        if (part.kind === 'entry') ahead = patternOf(part.entry.path) !== undefined;
        push(part);
      } else if (part.chunk.known) {
        part.bytes = NO_BYTES;
        push(part);
      } else {
        newChunk(part, push);
      }
    },
    *flush() {
      const blob = yield* blobEnd(chunkCount > 0 ? tail() : undefined, cache);
      yield { kind: 'blob', blob };
    },
  });
};
