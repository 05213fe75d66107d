/**
 * reference-writer: gives every new chunk its place in a layer that stays unchanged, and writes the
 * blob beside it, which has the tables and no data.
 *
 * takes chunk (named), context and layer, makes chunk (placed), section, finish and blob, passes
 *   entry and end
 * holds the CI table: 24 bytes per chunk, and for a gzip layer a context of 40 bytes with 32 KiB of
 *   dictionary for each MiB or so that it inflates to; up to 48 MiB of these are held in memory,
 *   more lie in a file; with a TOC also the digests, 32 bytes per chunk
 *
 * A table whose dictionaries are in memory is compressed in one run, as in nydus-image: at the end,
 * and only then, it exists both plain and compressed.
 */
import { tmpdir } from 'node:os';
import { collectNow, NO_BYTES } from '../../lib/memory/allocate.js';
import { BlobFile } from '../../lib/blob/blob-file.js';
import {
  blobEnd,
  cachedChunkInfo,
  chunkInfoSections,
  digestSections,
  longChunkInfoSections,
  NO_TOC,
  tocSection,
  type ChunkInfoExtent,
} from '../../lib/blob/sections.js';
import { alignUp } from '../../lib/layout/align.js';
import { ChunkInfoWriter, type ChunkInfoExtra } from '../../lib/blob/chunk-info-writer.js';
import { ByteArena, Column } from '../../lib/memory/columns.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { COMPRESSORS, type Compressor } from '../../lib/layout/compressors.js';
import { DIGESTERS, type Digester, NO_DIGEST } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { BlobFeature, ChunkInfoFlag } from '../../lib/layout/blob.js';
import type {
  BlobPart,
  ChunkPart,
  ContextPart,
  EndPart,
  EntryPart,
  FinishPart,
  LayerPart,
  SectionPart,
} from '../../lib/model/parts.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import type { NamedChunk, PlacedChunk } from '../../lib/model/chunk.js';
import type { Entry } from '../../lib/model/entry.js';
import { ZranTable } from '../../lib/blob/zran.js';
import { SpooledBuffer } from '../io/spooled-buffer.js';
import { Stage, type Push } from '../stage.js';
import { CHUNK_ALIGN } from '../../lib/layout/rafs.js';

/**
 * Most bytes of dictionaries to hold in memory, so that the table is identical to nydus-image's:
 * enough for a kernel tree, or for most of a GB of gzip.
 */
const DICTIONARIES_HELD = 0x3000000;
/** A longer table is compressed in pieces of this many bytes. */
const PIECE_SIZE = 0x800000;

export interface ReferenceWriterOptions {
  /** what is written; the bootstrap finalizer goes on with it. Default: one of its own */
  file?: BlobFile;
  /** for the blob table: gzip, even for a tar, whose chunks are not compressed */
  compressor: Compressor;
  digester: Digester;
  chunkSize: number;
  inlineMeta: boolean;
  blobToc: boolean;
  /** the layer is a gzip, and its chunks come with their places; otherwise it is a tar */
  zran: boolean;
  /** for a file with the dictionaries, if there are many; default: the system's temporary one */
  directory?: string;
  /** most bytes of dictionaries to hold in memory; default: DICTIONARIES_HELD */
  held?: number;
  /** write what nydusd would cache of the layer, instead of the blob beside it */
  cache?: boolean;
  /** besides the blob, write its blob meta as nydusd would cache it */
  copies?: boolean;
}

type In = EntryPart | ChunkPart<NamedChunk> | ContextPart | EndPart | LayerPart;
type Out =
  | EntryPart
  | ChunkPart<PlacedChunk>
  | ChunkPart<NamedChunk>
  | EndPart
  | SectionPart
  | FinishPart
  | BlobPart;

/** Resolves when the codecs are ready. The stage fails with UNSUPPORTED for sparse files. */
export const referenceWriter = async ({
  file = new BlobFile(),
  compressor,
  digester,
  chunkSize,
  inlineMeta,
  blobToc,
  zran,
  directory = tmpdir(),
  held = DICTIONARIES_HELD,
  cache = false,
  copies = false,
}: ReferenceWriterOptions) => {
  await prepareCompressors();
  const ci = new ChunkInfoWriter(2);
  const spools: SpooledBuffer[] = [];
  const newSpool = (): SpooledBuffer => {
    const spool = new SpooledBuffer(directory, held);
    spools.push(spool);
    return spool;
  };
  let contexts = zran ? new ZranTable(newSpool()) : undefined;
  const used = new Column(Uint8Array); // by context: whether it has new chunks
  const digests = new ByteArena();
  const tarHeaders = inlineMeta || blobToc;
  const features =
    BlobFeature.CAP_TAR_TOC +
    BlobFeature.ALIGNED +
    BlobFeature.CHUNK_INFO_V2 +
    BlobFeature.SEPARATE +
    (zran ? BlobFeature.ZRAN : 0) +
    (tarHeaders ? BlobFeature.HAS_TAR_HEADER : 0) +
    (inlineMeta ? BlobFeature.INLINED_FS_META : 0) +
    (blobToc ? BlobFeature.HAS_TOC + BlobFeature.INLINED_CHUNK_DIGEST : 0);
  let entry: Entry | undefined;
  let layer: LayerPart | undefined;
  let uncompressedOffset = 0;
  let chunkCount = 0;

  /** Where the bytes of a chunk lie in a tar. */
  const tarOffset = (fileOffset: number): number => {
    const { dataOffset, path } = entry!; // chunks follow their entry
    if (dataOffset !== undefined) return dataOffset + fileOffset;
    throw new RafsError('UNSUPPORTED', 'a sparse file cannot be read out of its tar', { path });
  };

  const place = (chunk: NamedChunk): PlacedChunk => {
    const { fileOffset, uncompressedSize, digest, crc32, uniqueIndex, zran: inGzip } = chunk;
    // field by field: spreading objects costs ten times as much
    const placed: PlacedChunk = {
      fileOffset,
      uncompressedSize,
      digest,
      crc32,
      uniqueIndex,
      known: false,
      blobIndex: 0,
      index: chunkCount++,
      compressedOffset: inGzip ? inGzip.inOffset : tarOffset(fileOffset),
      compressedSize: inGzip ? inGzip.inSize : uncompressedSize,
      compressed: inGzip !== undefined,
      uncompressedOffset,
    };
    uncompressedOffset += alignUp(uncompressedSize, CHUNK_ALIGN);
    ci.add(placed, inGzip && inContext(inGzip));
    if (inGzip) {
      while (used.length <= inGzip.context) used.push(0);
      used.data[inGzip.context] = 1;
    }
    if (blobToc) digests.add(digest);
    return placed;
  };

  /** The tables of a layer that has chunks. */
  function* tables({ size, digest }: LayerPart): Generator<SectionPart, BlobInfo> {
    const ciPlace = yield* chunkInfo();
    if (blobToc) yield* digestSections(file, digests.view(0, digests.length));
    const toc = blobToc && !inlineMeta ? yield* tocSection(file) : NO_TOC;
    return {
      id: digest!, // always there for a layer that is referenced
      chunkSize,
      chunkCount,
      compressor: COMPRESSORS[compressor],
      digester: DIGESTERS[digester],
      features,
      compressedSize: size,
      uncompressedSize: uncompressedOffset,
      ...toc,
      ...ciPlace,
      metaDigest: inlineMeta ? NO_DIGEST : file.digest(),
      metaSize: inlineMeta ? 0 : file.position,
    };
  }

  /**
   * Leaves out contexts that have no new chunks. Readers refuse a table with more contexts than
   * chunks, which nydus-image makes if files occur repeatedly.
   */
  const dropUnused = (all: ZranTable): void => {
    const { table, numbers } = all.only(used.data, newSpool());
    ci.renumber(numbers);
    contexts = table;
  };

  function* chunkInfo(): Generator<SectionPart, ChunkInfoExtent> {
    collectNow(); // so that garbage is not held beside the table
    if (contexts && contexts.count > chunkCount) dropUnused(contexts);
    const whole = contexts?.behind(ci.records);
    if (contexts && !whole) return yield* longChunkInfo(contexts);
    const table = ci.finish({
      compressor: 'zstd',
      features,
      ciOffset: file.position,
      ...(contexts && whole ? { contextCount: contexts.count, whole } : {}),
    });
    contexts = undefined; // so that the table is not held beside the bootstrap
    if (cache || copies) yield* cachedChunkInfo(table);
    return yield* chunkInfoSections(file, table, { tarHeaders });
  }

  const longChunkInfo = (all: ZranTable): Generator<SectionPart, ChunkInfoExtent> =>
    longChunkInfoSections(file, all.pieces(ci.records, PIECE_SIZE), {
      tarHeaders,
      cache: cache || copies,
      headerOf: place =>
        ci.header({ ...place, features, compressor: 'zstd', contextCount: all.count }),
    });

  return new Stage<In, Out>('reference-writer', {
    transform(part, push) {
      switch (part.kind) {
        case 'context':
          contexts?.add(part);
          break;
        case 'layer':
          layer = part;
          break;
        case 'chunk':
          if (part.chunk.known) {
            push({ kind: 'chunk', chunk: part.chunk, bytes: NO_BYTES });
            break;
          }
          push({ kind: 'chunk', chunk: place(part.chunk), bytes: NO_BYTES });
          if (cache) pushCached(part.bytes, push);
          break;
        case 'entry':
          entry = part.entry;
          push(part);
          break;
        default:
          push(part);
      }
    },
    *flush() {
      if (!layer) throw new Error('the layer has not come');
      const blob = yield* blobEnd(chunkCount > 0 ? tables(layer) : undefined, cache);
      yield { kind: 'blob', blob, layer: { id: layer.digest!, size: layer.size } };
    },
    destroy() {
      for (const spool of spools) spool.close();
    },
  });
};

/** What the CI table has for a chunk of a gzip layer besides its place: no checksum. */
const inContext = ({ context, offset }: NonNullable<NamedChunk['zran']>): ChunkInfoExtra => ({
  flags: ChunkInfoFlag.COMPRESSED + ChunkInfoFlag.ZRAN,
  data: { index: context, offset },
});

/** Passes on a chunk in the form in which nydusd caches it. */
const pushCached = (bytes: Buffer, push: Push<SectionPart>): void => {
  push({ kind: 'section', artifact: 'cache-data', bytes });
  const padding = alignUp(bytes.length, CHUNK_ALIGN) - bytes.length;
  if (padding > 0) {
    push({ kind: 'section', artifact: 'cache-data', bytes: Buffer.alloc(padding) });
  }
};
