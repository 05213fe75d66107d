/**
 * stargz-toc: turns the table of contents of an eStargz layer into the entries and chunks of an
 * image that refers to the layer.
 *
 * takes bytes, makes entry, chunk (placed), end and blob
 * holds the table, as text and parsed
 *
 * The layer itself is not available. The size of the CI table of its chunks is recorded in the blob
 * table, where readers look for it, but the CI table is written nowhere.
 */
import { alignUp } from '../../lib/layout/align.js';
import { ChunkInfoWriter } from '../../lib/blob/chunk-info-writer.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { COMPRESSORS } from '../../lib/layout/compressors.js';
import { DIGESTERS, NO_DIGEST } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { BlobPart, BytesPart, ChunkPart, EndPart, EntryPart } from '../../lib/model/parts.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import type { NamedChunk, PlacedChunk } from '../../lib/model/chunk.js';
import { readStargzToc, type StargzChunk, type StargzOptions } from '../../lib/layer/stargz.js';
import { Stage } from '../stage.js';
import { CHUNK_ALIGN } from '../../lib/layout/rafs.js';
import { NO_BYTES } from '../../lib/memory/allocate.js';

/** Longer text is not a table of contents. */
const TOC_LIMIT = 0x10000000;
const FEATURES = BlobFeature.CAP_TAR_TOC + BlobFeature.ALIGNED;

export interface StargzTocOptions extends StargzOptions {
  blobId: string;
  /** number of chunks of the image below, which have the first ordinals */
  lowerCount?: number;
  warn?: (message: string) => void;
}

type Out = EntryPart | ChunkPart<PlacedChunk> | ChunkPart<NamedChunk> | EndPart | BlobPart;

/** Resolves when it is ready. The stage fails with LIMIT for a table of over 256 MiB. */
export const stargzToc = async ({
  blobId,
  lowerCount = 0,
  warn = () => undefined,
  ...options
}: StargzTocOptions) => {
  await prepareCompressors();
  const text: Buffer[] = [];
  let textSize = 0;
  const ci = new ChunkInfoWriter();
  const places = new Map<StargzChunk, PlacedChunk>();
  let compressedEnd = 0;
  let uncompressedEnd = 0;

  const place = (chunk: StargzChunk): PlacedChunk => {
    const { compressedOffset, compressedSize, uncompressedSize } = chunk;
    const placed = {
      ...chunk,
      crc32: 0,
      compressed: true,
      known: false,
      blobIndex: 0,
      index: places.size,
      uniqueIndex: lowerCount + places.size,
      uncompressedOffset: uncompressedEnd,
    };
    uncompressedEnd += alignUp(uncompressedSize, CHUNK_ALIGN);
    compressedEnd = Math.max(compressedEnd, compressedOffset + compressedSize);
    places.set(chunk, placed);
    ci.add(placed);
    return placed;
  };

  const chunkPart = (chunk: StargzChunk): ChunkPart<PlacedChunk> | ChunkPart<NamedChunk> => {
    if (!chunk.repeated) return { kind: 'chunk', chunk: places.get(chunk)!, bytes: NO_BYTES };
    const { uniqueIndex } = places.get(chunk.repeated)!; // already placed
    const { fileOffset, uncompressedSize, digest } = chunk;
    const known = { fileOffset, uncompressedSize, digest, crc32: 0, uniqueIndex, known: true };
    return { kind: 'chunk', chunk: known, bytes: NO_BYTES };
  };

  const blobOf = (): BlobInfo => {
    const table = ci.finish({ compressor: 'zstd', features: FEATURES, ciOffset: 0 });
    return {
      id: blobId,
      chunkSize: options.chunkSize,
      chunkCount: places.size,
      compressor: COMPRESSORS.gzip,
      digester: DIGESTERS.sha256,
      features: FEATURES,
      compressedSize: compressedEnd,
      uncompressedSize: uncompressedEnd,
      tocSize: 0,
      tocDigest: NO_DIGEST,
      ciCompressor: COMPRESSORS[table.compressor],
      ciOffset: 0,
      ciCompressedSize: table.stored.length,
      ciUncompressedSize: table.plain.length,
      metaDigest: NO_DIGEST,
      metaSize: 0,
    };
  };

  return new Stage<BytesPart, Out>('stargz-toc', {
    transform({ bytes }) {
      text.push(bytes);
      textSize += bytes.length;
      if (textSize > TOC_LIMIT) throw new RafsError('LIMIT', `the TOC exceeds ${TOC_LIMIT} bytes`);
    },
    *flush() {
      const { files, chunks, warnings } = readStargzToc(Buffer.concat(text.splice(0)), options);
      warnings.forEach(warn);
      for (const chunk of chunks) if (!chunk.repeated) place(chunk);
      for (const { entry, chunks } of files) {
        yield { kind: 'entry', entry };
        for (const chunk of chunks) yield chunkPart(chunk);
        yield { kind: 'end' };
      }
      yield { kind: 'blob', blob: places.size > 0 ? blobOf() : undefined };
    },
  });
};
