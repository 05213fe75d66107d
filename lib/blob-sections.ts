/** Sections of a blob behind its data, as blobs have them that hold data and that refer to some. */
import type { BlobFile } from './blob-file.js';
import { alignUp } from './bytes.js';
import type { StoredCi } from './ci-writer.js';
import { COMPRESSORS } from './compress.js';
import { sha256 } from './digest.js';
import { Section } from './layout/blob.js';
import type { BlobInfo, SectionPart } from './parts.js';

/** nydusd maps its caches: what follows a table starts at a multiple of this. */
const CACHE_ALIGN = 0x1000;

/** Where a blob has its CI table, or that it has none. */
export type CiPlace = Pick<
  BlobInfo,
  'ciCompressor' | 'ciOffset' | 'ciCompressedSize' | 'ciUncompressedSize'
>;

/**
 * The CI table and its header.
 *
 * @param options.tarHeaders whether sections are followed by tar headers
 * @param options.header as it is stored, where that is not as it was made
 */
export function* chunkInfoSections(
  file: BlobFile,
  table: StoredCi,
  { tarHeaders, header = table.header }: { tarHeaders: boolean; header?: Buffer },
): Generator<SectionPart, CiPlace> {
  const ciOffset = file.position;
  yield file.append(table.stored);
  yield file.append(header);
  if (tarHeaders) yield file.appendHeader(Section.META, table.stored.length + header.length);
  file.addToTable(Section.META, ciOffset, {
    compressor: table.compressor,
    compressedSize: table.stored.length,
    uncompressedSize: table.plain.length,
    uncompressedDigest: sha256(table.plain),
  });
  file.addToTable(Section.META_HEADER, ciOffset + table.stored.length, {
    compressor: 'none',
    compressedSize: header.length,
    uncompressedSize: header.length,
    uncompressedDigest: sha256(table.header),
  });
  return {
    ciCompressor: COMPRESSORS[table.compressor],
    ciOffset,
    ciCompressedSize: table.stored.length,
    ciUncompressedSize: table.plain.length,
  };
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

/** The CI table as nydusd keeps it. */
export function* cachedChunkInfo({ plain, header }: StoredCi): Iterable<SectionPart> {
  const padding = Buffer.alloc(alignUp(plain.length, CACHE_ALIGN) - plain.length);
  for (const bytes of [plain, padding, header]) {
    if (bytes.length > 0) yield { kind: 'section', artifact: 'cache-meta', bytes };
  }
}
