/**
 * blob-writer: gives every new chunk its place in the blob and writes the blob's sections.
 *
 * takes chunk (packed), makes chunk (placed), section and blob, passes entry and end
 * holds the CI table, 16 bytes per chunk, and with a TOC the digests, 32 bytes per chunk
 *
 * Sections are written one after another, since the blob may be a pipe: chunk data, CI table with
 * its header, chunk digests, then the TOC unless the bootstrap is to be inlined before it.
 */
import { BlobFile } from '../lib/blob-file.js';
import { alignUp } from '../lib/bytes.js';
import { CiWriter } from '../lib/ci-writer.js';
import { ByteArena } from '../lib/columns.js';
import { COMPRESSORS, type Compressor } from '../lib/compress.js';
import { DIGESTERS, sha256, type Digester } from '../lib/digest.js';
import { BlobFeature, Section } from '../lib/layout/blob.js';
import type {
  BlobInfo,
  BlobPart,
  ChunkPart,
  EndPart,
  EntryPart,
  FinishPart,
  NamedChunk,
  PackedChunk,
  PlacedChunk,
  SectionPart,
} from '../lib/parts.js';
import { Stage } from './stage.js';

/** Uncompressed chunks are laid out in steps of this, so that a kernel can map them. */
const CHUNK_ALIGN = 0x1000;
/** Id in the blob table of a blob that holds its own bootstrap: its hash is not known yet. */
export const INLINED_BLOB_ID = 'x'.repeat(64);
const NO_BYTES = Buffer.alloc(0);
const ZERO_DIGEST = Buffer.alloc(32);

export interface BlobWriterOptions {
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
}

type In = EntryPart | ChunkPart<PackedChunk> | EndPart;
type Out =
  | EntryPart
  | ChunkPart<PlacedChunk>
  | ChunkPart<NamedChunk>
  | EndPart
  | SectionPart
  | FinishPart
  | BlobPart;

/** Bytes with zeros up to the next chunk. */
const padded = (bytes: Buffer): Buffer =>
  bytes.length % CHUNK_ALIGN === 0
    ? bytes
    : Buffer.concat([bytes], alignUp(bytes.length, CHUNK_ALIGN));

export const blobWriter = ({
  compressor,
  digester,
  chunkSize,
  inlineMeta,
  blobToc,
  blobId,
  blobOffset = 0,
  cache = false,
}: BlobWriterOptions) => {
  const file = new BlobFile();
  const ci = new CiWriter();
  const digests = new ByteArena();
  const tarHeaders = inlineMeta || blobToc;
  const features =
    BlobFeature.CAP_TAR_TOC +
    BlobFeature.ALIGNED +
    (tarHeaders ? BlobFeature.HAS_TAR_HEADER : 0) +
    (inlineMeta ? BlobFeature.INLINED_FS_META : 0) +
    (blobToc ? BlobFeature.HAS_TOC + BlobFeature.INLINED_CHUNK_DIGEST : 0);
  let uncompressedOffset = 0;

  const place = (chunk: PackedChunk, compressedSize: number): PlacedChunk => {
    const placed = {
      ...chunk,
      blobIndex: 0,
      index: ci.chunkCount,
      compressedOffset: blobOffset + file.position,
      compressedSize,
      uncompressedOffset,
    };
    uncompressedOffset += alignUp(chunk.uncompressedSize, CHUNK_ALIGN);
    ci.add(placed);
    if (blobToc) digests.add(chunk.digest);
    return placed;
  };

  /** Sections behind the chunk data, for a blob that has chunks. */
  function* tail(): Generator<SectionPart, BlobInfo> {
    const dataSize = file.position;
    if (tarHeaders) yield file.appendHeader(Section.BLOB, dataSize);
    file.addToTable(Section.BLOB, blobOffset, {
      compressor: 'none',
      compressedSize: dataSize,
      uncompressedSize: uncompressedOffset,
      uncompressedDigest: file.digest(), // covers the tar header too, as nydus-image has it
    });

    const ciOffset = file.position;
    const table = ci.finish({ compressor, features, ciOffset });
    yield file.append(table.stored);
    yield file.append(table.header);
    if (tarHeaders) {
      yield file.appendHeader(Section.META, table.stored.length + table.header.length);
    }
    file.addToTable(Section.META, ciOffset, {
      compressor: table.compressor,
      compressedSize: table.stored.length,
      uncompressedSize: table.plain.length,
      uncompressedDigest: sha256(table.plain),
    });
    file.addToTable(Section.META_HEADER, ciOffset + table.stored.length, {
      compressor: 'none',
      compressedSize: table.header.length,
      uncompressedSize: table.header.length,
      uncompressedDigest: sha256(table.header),
    });

    if (blobToc) {
      const array = digests.view(0, digests.length);
      file.addToTable(Section.DIGEST, file.position, {
        compressor: 'none',
        compressedSize: array.length,
        uncompressedSize: array.length,
        uncompressedDigest: sha256(array),
      });
      yield file.append(array, { hashed: false });
      yield file.appendHeader(Section.DIGEST, array.length);
    }

    if (cache) {
      yield { kind: 'section', artifact: 'cache-meta', bytes: padded(table.plain) };
      yield { kind: 'section', artifact: 'cache-meta', bytes: table.header };
    }

    let toc: Pick<BlobInfo, 'tocSize' | 'tocDigest'> = { tocSize: 0, tocDigest: ZERO_DIGEST };
    if (blobToc && !inlineMeta) {
      const { part, ...facts } = file.tableOfContents();
      yield part;
      toc = facts;
    }
    return {
      id: inlineMeta ? INLINED_BLOB_ID : blobId || file.digest().toString('hex'),
      chunkSize,
      chunkCount: ci.chunkCount,
      compressor: COMPRESSORS[compressor],
      digester: DIGESTERS[digester],
      features,
      compressedSize: file.position,
      uncompressedSize: uncompressedOffset,
      ...toc,
      ciCompressor: COMPRESSORS[table.compressor],
      ciOffset,
      ciCompressedSize: table.stored.length,
      ciUncompressedSize: table.plain.length,
      metaDigest: ZERO_DIGEST,
      metaSize: 0,
    };
  }

  return new Stage<In, Out>('blob-writer', {
    *part(part) {
      if (part.kind !== 'chunk') {
        yield part;
      } else if (part.chunk.known) {
        yield { kind: 'chunk', chunk: part.chunk, bytes: NO_BYTES };
      } else {
        yield { kind: 'chunk', chunk: place(part.chunk, part.bytes.length), bytes: NO_BYTES };
        const section = file.append(part.bytes); // counted and hashed even where it is not written
        yield cache
          ? { kind: 'section', artifact: 'cache-data', bytes: padded(part.bytes) }
          : section;
      }
    },
    *end() {
      const sections = tail();
      let blob: BlobInfo | undefined;
      if (ci.chunkCount > 0) {
        for (;;) {
          const next = sections.next();
          if (next.done) {
            blob = next.value;
            break;
          }
          if (!cache || next.value.artifact !== 'blob') yield next.value;
        }
      }
      if (cache) {
        yield { kind: 'finish', artifact: 'cache-data', name: blob && `${blob.id}.blob.data` };
        yield { kind: 'finish', artifact: 'cache-meta', name: blob && `${blob.id}.blob.meta` };
      }
      yield { kind: 'blob', blob, file };
    },
  });
};
