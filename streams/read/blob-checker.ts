/**
 * Compares a blob's own tables with the bootstrap: CI header and table, table of contents (TOC),
 * the headers of its sections, and their digests in the TOC, but for that of the chunk data, which
 * takes reading all of them.
 */
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import type { BlobRecord, StoredChunk } from '../../lib/model/stored.js';
import {
  compressedDataSize,
  hasChunkInfo,
  unsealed,
  type ChunkInfo,
  type ChunkInfoTable,
} from '../../lib/blob/chunk-info-table.js';
import { sha256, DIGEST_SIZE, NO_DIGEST } from '../../lib/crypto/digest.js';
import { corrupt, located, RafsError } from '../../lib/errors.js';
import { BlobFeature, ChunkInfoHeader, Section } from '../../lib/layout/blob.js';
import { BLOCK_SIZE } from '../../lib/layout/tar.js';
import {
  parseSectionHeader,
  parseToc,
  sectionsOfTail,
  tailSize,
  unpackSection,
  type BlobSection,
} from '../../lib/blob/toc.js';
import { readChunkInfo } from './chunk-info.js';
import type { ReaderAt } from '../io/reader-at.js';

/** What an available blob says about its chunks. */
export interface CheckedBlob {
  table?: ChunkInfoTable;
  /** digests of all chunks, if the blob carries them */
  digests?: Buffer;
  /** where they are */
  digestsOffset?: number;
  /** the chunk data, if they have a digest; it also covers the header after them */
  data?: BlobSection;
}

/** Reads a blob's tables; fails with CORRUPT or MISMATCH if they are wrong. */
export const checkBlob = async (source: ReaderAt, blob: BlobRecord): Promise<CheckedBlob> => {
  try {
    const sections = await tocOf(source, blob);
    checkSections(sections, blob);
    const checked: CheckedBlob = {};
    const listed = sections.length > 0 ? sections : unlisted(blob);
    for (const section of listed) await checkSectionHeader(source, section, listed);
    for (const section of sections) {
      if (section.name === Section.BLOB) {
        checked.data = section;
        continue;
      }
      const stored = await source.read(section.offset, section.size);
      const bytes = unpackSection(
        section,
        SEALED.has(section.name) ? unsealed(stored, blob) : stored,
      );
      if (section.name !== Section.DIGEST) continue;
      checked.digests = bytes;
      checked.digestsOffset = section.offset;
    }
    if (checked.digests && checked.digests.length !== blob.chunkCount * DIGEST_SIZE) {
      throw corrupt(
        `${checked.digests.length} bytes of digests do not suit ${blob.chunkCount} chunks`,
      );
    }
    if (hasChunkInfo(blob)) {
      checked.table = await readChunkInfo(source, blob);
      checkOrder(checked.table, blob);
    }
    return checked;
  } catch (error) {
    throw located(error, { blob: blob.id });
  }
};

/** The sections in the TOC, which lies where the blob table says, or at the tail. */
const tocOf = async (source: ReaderAt, blob: BlobRecord): Promise<BlobSection[]> => {
  if (blob.tocSize === 0) {
    if (!(blob.features & BlobFeature.HAS_TOC)) return [];
    const tail = await source.read(source.size - tailSize(source.size), tailSize(source.size));
    return sectionsOfTail(tail, source.size) ?? [];
  }
  const offset = source.size - blob.tocSize;
  if (blob.tocSize <= BLOCK_SIZE || blob.tocSize > 0x10000) {
    throw corrupt(`invalid TOC size ${blob.tocSize}`);
  }
  const bytes = await source.read(offset, blob.tocSize);
  if (!blob.tocDigest.equals(NO_DIGEST) && !sha256(bytes).equals(blob.tocDigest)) {
    const due = blob.tocDigest.toString('hex');
    throw new RafsError('MISMATCH', `the TOC does not have the sha256 ${due}`, {
      section: Section.TOC,
    });
  }
  const entriesSize = blob.tocSize - BLOCK_SIZE;
  const header = parseSectionHeader(bytes, entriesSize);
  if (header?.name !== Section.TOC || header.size !== entriesSize) {
    throw corrupt(`missing TOC header for ${entriesSize} bytes`, { section: Section.TOC });
  }
  return parseToc(bytes.subarray(0, entriesSize), offset);
};

/** Sections that are encrypted if the blob is. */
const SEALED: ReadonlySet<string> = new Set([Section.META, Section.META_HEADER]);

/** Checks that a TOC lists what the blob must have, and the tables where the bootstrap does. */
const checkSections = (sections: readonly BlobSection[], blob: BlobRecord): void => {
  if (sections.length === 0) return;
  const named = (name: string) => sections.find(section => section.name === name);
  const due: string[] = [];
  const isLayer = (blob.features & BlobFeature.SEPARATE) !== 0;
  if (!isLayer) due.push(Section.BLOB);
  if (hasChunkInfo(blob)) due.push(Section.META, Section.META_HEADER);
  if (blob.features & BlobFeature.INLINED_CHUNK_DIGEST) due.push(Section.DIGEST);
  for (const name of due) {
    if (!named(name)) throw corrupt('the section is missing in the TOC', { section: name });
  }
  const meta = named(Section.META);
  if (!meta) return;
  for (const [what, got, wanted] of [
    ['offset', meta.offset, blob.ciOffset],
    ['size', meta.size, blob.ciCompressedSize],
  ] as const) {
    if (got === wanted) continue;
    throw corrupt(`expected ${what} ${wanted}, got ${got}`, { section: Section.META });
  }
};

/** Sections of a blob without a TOC, as far as they have headers all the same. */
const unlisted = (blob: BlobRecord): BlobSection[] => {
  if (!(blob.features & BlobFeature.HAS_TAR_HEADER)) return [];
  const section = (name: string, offset: number, size: number): BlobSection => ({
    ...{ name, offset, size, compressor: 'none', uncompressedSize: size },
  });
  const sections: BlobSection[] = [];
  if (!(blob.features & BlobFeature.SEPARATE)) {
    sections.push(section(Section.BLOB, 0, compressedDataSize(blob)));
  }
  if (hasChunkInfo(blob)) {
    const { ciOffset: offset, ciCompressedSize: size } = blob;
    sections.push(section(Section.META, offset, size));
    sections.push(section(Section.META_HEADER, offset + size, ChunkInfoHeader.size));
  }
  return sections;
};

/** Checks the tar header behind a section; the CI table and its header share one. */
const checkSectionHeader = async (
  source: ReaderAt,
  { name, offset, size }: BlobSection,
  sections: readonly BlobSection[],
): Promise<void> => {
  if (name === Section.META_HEADER) return;
  const more =
    name === Section.META ? sections.find(one => one.name === Section.META_HEADER) : undefined;
  const due = size + (more?.size ?? 0);
  const header = parseSectionHeader(await source.read(offset + due, BLOCK_SIZE), 0);
  if (header?.name === name && header.size === due) return;
  throw corrupt(`missing tar header for ${due} bytes`, { section: name });
};

/** Checks that chunks lie in index order, and do not overlap unless they are in one batch. */
const checkOrder = (table: ChunkInfoTable, blob: BlobRecord): void => {
  let end = 0;
  let storedEnd = 0;
  let unit: { context: number; offset: number } | undefined;
  for (let index = 0; index < table.count; index++) {
    const info = table.chunk(index);
    const at = { blob: blob.id, chunk: index };
    if (info.uncompressedOffset < end) {
      const place = `the chunk at ${info.uncompressedOffset}`;
      throw corrupt(`${place} overlaps the one that ends at ${end}`, at);
    }
    end = info.uncompressedOffset + info.uncompressedSize;
    if (info.zran) continue; // such chunks share what they are stored in
    const { compressedOffset: offset, batch } = info;
    if (batch && batch.context === unit?.context) {
      if (offset === unit.offset) continue;
      throw corrupt(`expected the batch of the chunk at ${unit.offset}, got ${offset}`, at);
    }
    if (offset < storedEnd) {
      throw corrupt(`the chunk at ${offset} overlaps the one stored up to ${storedEnd}`, at);
    }
    unit = batch && { context: batch.context, offset };
    const stored = batch ? table.batch(batch.context).compressedSize : info.compressedSize;
    storedEnd = offset + stored;
  }
};

/** Compares a chunk as the bootstrap has it with the tables of its blob. */
export const compareChunk = (
  { blobs }: Pick<Bootstrap, 'blobs'>,
  chunk: StoredChunk,
  { digests, table }: CheckedBlob,
): void => {
  const fail = (what: string, got: number | string, due: number | string): RafsError =>
    new RafsError('MISMATCH', `the blob has ${what} ${got}, but the bootstrap ${due}`, {
      blob: blobs[chunk.blobIndex]!.id,
      chunk: chunk.index,
      offset: chunk.compressedOffset,
    });
  if (digests) {
    const got = digestAt(digests, chunk.index);
    if (!got.equals(chunk.digest)) {
      throw fail('digest', got.toString('hex'), chunk.digest.toString('hex'));
    }
  }
  if (!table) return;
  const info = table.chunk(chunk.index);
  for (const field of info.batch ? PLAIN_FIELDS : FIELDS) {
    if (info[field] !== chunk[field]) throw fail(field, String(info[field]), String(chunk[field]));
  }
  // what is stored together has no place of its own in a bootstrap
  if (
    info.batch &&
    chunk.compressedOffset > 0 &&
    chunk.compressedOffset !== info.compressedOffset
  ) {
    throw fail('compressedOffset', info.compressedOffset, chunk.compressedOffset);
  }
  if (info.crc32 !== undefined && chunk.crc32 !== undefined && info.crc32 !== chunk.crc32) {
    throw fail('crc32', info.crc32, chunk.crc32);
  }
};

const PLAIN_FIELDS = ['uncompressedOffset', 'uncompressedSize'] as const;
const FIELDS = [...PLAIN_FIELDS, 'compressedOffset', 'compressedSize'] as const;

const digestAt = (digests: Buffer, index: number): Buffer =>
  digests.subarray(index * DIGEST_SIZE, (index + 1) * DIGEST_SIZE);

/**
 * The chunks that the bootstrap has of a blob, and those that only the blob's own tables have, as
 * far as they say what is in them.
 *
 * @param used ascending by index
 */
export function* withUnused(
  used: Iterable<StoredChunk>,
  { index: blobIndex }: BlobRecord,
  { table, digests }: CheckedBlob,
): Iterable<StoredChunk> {
  let next = 0;
  const unused = function* (end: number): Iterable<StoredChunk> {
    for (; table && next < end; next++) {
      const info = table.chunk(next);
      const digest = digests ? digestAt(digests, next) : NO_DIGEST;
      if (!digests && info.crc32 === undefined) continue;
      yield unusedChunk(info, { blobIndex, index: next, digest });
    }
  };
  for (const chunk of used) {
    yield* unused(chunk.index);
    next = chunk.index + 1;
    yield chunk;
  }
  yield* unused(table?.count ?? 0);
}

const unusedChunk = (
  info: ChunkInfo,
  known: Pick<StoredChunk, 'blobIndex' | 'index' | 'digest'>,
): StoredChunk => ({
  ...known,
  fileOffset: 0,
  uncompressedOffset: info.uncompressedOffset,
  uncompressedSize: info.uncompressedSize,
  compressedOffset: info.compressedOffset,
  compressedSize: info.compressedSize,
  compressed: info.compressed,
  encrypted: info.encrypted,
  ...(info.crc32 === undefined ? {} : { crc32: info.crc32 }),
});
