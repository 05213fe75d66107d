/** Sections that follow a blob's data, whether the blob holds the data or only refers to them. */
import { createHash } from 'node:crypto';
import type { BlobFile } from './blob-file.js';
import { alignUp } from '../layout/align.js';
import type { StoredCi } from './chunk-info-writer.js';
import { zstdFrame } from '../compress/compressors.js';
import { COMPRESSORS, type Compressor } from '../layout/compressors.js';
import { NO_DIGEST, sha256 } from '../crypto/digest.js';
import { Section } from '../layout/blob.js';
import type { FinishPart, SectionPart } from '../model/parts.js';
import type { BlobInfo } from '../model/blob.js';

/** nydusd maps its cache files, so what follows a table in one starts at a multiple of this. */
const CACHE_ALIGN = 0x1000;

/** Where the CI table of a blob lies, or that there is none. */
export type ChunkInfoExtent = Pick<
  BlobInfo,
  'ciCompressor' | 'ciOffset' | 'ciCompressedSize' | 'ciUncompressedSize'
>;

/** That of a blob without a CI table. */
export const NO_CHUNK_INFO: ChunkInfoExtent = {
  ciCompressor: COMPRESSORS.none,
  ciOffset: 0,
  ciCompressedSize: 0,
  ciUncompressedSize: 0,
};

/**
 * The CI table and its header.
 *
 * @param options.tarHeaders whether sections are followed by tar headers
 * @param options.header as it is stored, if that differs from how it was made
 */
export function* chunkInfoSections(
  file: BlobFile,
  table: StoredCi,
  { tarHeaders, header = table.header }: { tarHeaders: boolean; header?: Buffer },
): Generator<SectionPart, ChunkInfoExtent> {
  const ciOffset = file.position;
  yield file.append(table.stored);
  yield file.append(header);
  const { compressor, plain, stored } = table;
  return yield* ciEnd(file, {
    tarHeaders,
    compressor,
    ciOffset,
    storedSize: stored.length,
    plainSize: plain.length,
    plainDigest: sha256(plain),
    header: table.header,
    headerSize: header.length,
  });
}

interface ChunkInfoSection {
  tarHeaders: boolean;
  compressor: Compressor;
  ciOffset: number;
  storedSize: number;
  plainSize: number;
  plainDigest: Buffer;
  /** as it was made */
  header: Buffer;
  /** as it is stored */
  headerSize: number;
}

/** What follows the table and its header: a tar header, and the entries of both in the TOC. */
function* ciEnd(file: BlobFile, facts: ChunkInfoSection): Generator<SectionPart, ChunkInfoExtent> {
  const { compressor, ciOffset, storedSize, plainSize, header, headerSize } = facts;
  if (facts.tarHeaders) yield file.appendHeader(Section.META, storedSize + headerSize);
  file.addToTable(Section.META, ciOffset, {
    compressor,
    compressedSize: storedSize,
    uncompressedSize: plainSize,
    uncompressedDigest: facts.plainDigest,
  });
  file.addToTable(Section.META_HEADER, ciOffset + storedSize, {
    compressor: 'none',
    compressedSize: headerSize,
    uncompressedSize: headerSize,
    uncompressedDigest: sha256(header),
  });
  return {
    ciCompressor: COMPRESSORS[compressor],
    ciOffset,
    ciCompressedSize: storedSize,
    ciUncompressedSize: plainSize,
  };
}

/**
 * The same for a table too large to be held: each piece becomes a zstd frame of its own, but
 * readers take them for one. nydus-image compresses the whole table at once, which gives other
 * bytes but the same table.
 *
 * @param options.headerOf makes the header once the sizes are known
 * @param options.cache also write the table as nydusd caches it
 */
export function* longChunkInfoSections(
  file: BlobFile,
  pieces: Iterable<Buffer>,
  {
    tarHeaders,
    cache,
    headerOf,
  }: {
    tarHeaders: boolean;
    cache: boolean;
    headerOf: (place: { ciOffset: number; storedSize: number; plainSize: number }) => Buffer;
  },
): Generator<SectionPart, ChunkInfoExtent> {
  const ciOffset = file.position;
  const hash = createHash('sha256');
  let plainSize = 0;
  for (const plain of pieces) {
    hash.update(plain);
    plainSize += plain.length;
    if (cache) yield { kind: 'section', artifact: 'cache-meta', bytes: plain };
    yield file.append(zstdFrame(plain));
  }
  const storedSize = file.position - ciOffset;
  const header = headerOf({ ciOffset, storedSize, plainSize });
  if (cache) yield* cacheEnd(plainSize, header);
  yield file.append(header);
  return yield* ciEnd(file, {
    tarHeaders,
    compressor: 'zstd',
    ciOffset,
    storedSize,
    plainSize,
    plainDigest: hash.digest(),
    header,
    headerSize: header.length,
  });
}

/** The digests of all chunks. They are not part of the hash that names the blob. */
export function* digestSections(file: BlobFile, digests: Buffer): Iterable<SectionPart> {
  file.addToTable(Section.DIGEST, file.position, {
    compressor: 'none',
    compressedSize: digests.length,
    uncompressedSize: digests.length,
    uncompressedDigest: sha256(digests),
  });
  yield file.append(digests, { hashed: false });
  yield file.appendHeader(Section.DIGEST, digests.length);
}

/** The table of contents of a blob, as a blob table refers to it. */
export type TocFacts = Pick<BlobInfo, 'tocSize' | 'tocDigest'>;

/** What a blob table says of a blob whose table of contents is elsewhere, or that has none. */
export const NO_TOC: TocFacts = { tocSize: 0, tocDigest: NO_DIGEST };

/** The table of contents, which ends a blob. */
export function* tocSection(file: BlobFile): Generator<SectionPart, TocFacts> {
  const { part, ...facts } = file.tableOfContents();
  yield part;
  return facts;
}

/** The CI table as nydusd caches it. */
export function* cachedChunkInfo({ plain, header }: StoredCi): Iterable<SectionPart> {
  if (plain.length > 0) yield { kind: 'section', artifact: 'cache-meta', bytes: plain };
  yield* cacheEnd(plain.length, header);
}

function* cacheEnd(size: number, header: Buffer): Iterable<SectionPart> {
  const padding = Buffer.alloc(alignUp(size, CACHE_ALIGN) - size);
  for (const bytes of [padding, header]) {
    if (bytes.length > 0) yield { kind: 'section', artifact: 'cache-meta', bytes };
  }
}

/**
 * Ends what is written of a blob.
 *
 * @param sections the last ones; undefined for a blob that has no chunks, and so does not exist
 * @param cache only what nydusd caches of the blob is written, so it ends those two files, too
 */
export function* blobEnd(
  sections: Generator<SectionPart, BlobInfo> | undefined,
  cache: boolean,
): Generator<SectionPart | FinishPart, BlobInfo | undefined> {
  let blob: BlobInfo | undefined;
  while (sections && !blob) {
    const next = sections.next();
    if (next.done) blob = next.value;
    else if (!cache || next.value.artifact !== 'blob') yield next.value;
  }
  if (cache) {
    yield { kind: 'finish', artifact: 'cache-data', name: blob && `${blob.id}.blob.data` };
    yield { kind: 'finish', artifact: 'cache-meta', name: blob && `${blob.id}.blob.meta` };
  }
  return blob;
}
