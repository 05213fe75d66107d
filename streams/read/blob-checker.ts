/**
 * Compares a blob's own tables with the bootstrap: CI header and table, table of contents (TOC),
 * and the section digests in the TOC.
 */
import { createHash } from 'node:crypto';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import { walk } from '../../lib/bootstrap/walk.js';
import { hasChunkInfo, unsealed, type ChunkInfoTable } from '../../lib/blob/chunk-info-table.js';
import { sha256, DIGEST_SIZE } from '../../lib/crypto/digest.js';
import { located, RafsError } from '../../lib/errors.js';
import { BlobFeature, Section } from '../../lib/layout/blob.js';
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

const PIECE = 0x10_0000;

/** What an available blob says about its chunks. */
export interface CheckedBlob {
  table?: ChunkInfoTable;
  /** digests of all chunks, if the blob carries them */
  digests?: Buffer;
}

/** Reads a blob's tables; fails with CORRUPT or MISMATCH if they are wrong. */
export const checkBlob = async (source: ReaderAt, blob: BlobRecord): Promise<CheckedBlob> => {
  try {
    const sections = await tocOf(source, blob);
    const checked: CheckedBlob = {};
    for (const section of sections) {
      const bytes = await checkSection(source, section, blob);
      if (section.name === Section.DIGEST && bytes) checked.digests = bytes;
    }
    if (checked.digests && checked.digests.length !== blob.chunkCount * DIGEST_SIZE) {
      throw new RafsError(
        'CORRUPT',
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
    throw new RafsError('CORRUPT', `invalid TOC size ${blob.tocSize}`);
  }
  const bytes = await source.read(offset, blob.tocSize);
  if (blob.tocDigest.some(byte => byte !== 0) && !sha256(bytes).equals(blob.tocDigest)) {
    throw new RafsError(
      'MISMATCH',
      `the TOC does not have the sha256 ${blob.tocDigest.toString('hex')}`,
      {
        section: Section.TOC,
      },
    );
  }
  const entriesSize = blob.tocSize - BLOCK_SIZE;
  const header = parseSectionHeader(bytes, entriesSize);
  if (header?.name !== Section.TOC || header.size !== entriesSize) {
    throw new RafsError('CORRUPT', `missing TOC header for ${entriesSize} bytes`, {
      section: Section.TOC,
    });
  }
  return parseToc(bytes.subarray(0, entriesSize), offset);
};

/** Sections that are encrypted if the blob is. */
const SEALED: ReadonlySet<string> = new Set([Section.META, Section.META_HEADER]);

/** Checks a section; returns its unpacked bytes, but for chunk data, which is only hashed. */
const checkSection = async (
  source: ReaderAt,
  section: BlobSection,
  blob: BlobRecord,
): Promise<Buffer | undefined> => {
  if (section.name !== Section.BLOB) {
    const stored = await source.read(section.offset, section.size);
    return unpackSection(section, SEALED.has(section.name) ? unsealed(stored, blob) : stored);
  }
  // its digest also covers the header after it
  const end = section.offset + section.size + BLOCK_SIZE;
  const hash = createHash('sha256');
  for (let at = section.offset; at < end; at += PIECE) {
    hash.update(await source.read(at, Math.min(PIECE, end - at)));
  }
  const due = section.digest?.toString('hex') ?? '';
  const got = hash.digest('hex');
  if (got !== due) {
    throw new RafsError('MISMATCH', `expected sha256 ${due}, got ${got}`, {
      section: section.name,
    });
  }
  return undefined;
};

/** Checks that chunks lie in index order and do not overlap. */
const checkOrder = (table: ChunkInfoTable, blob: BlobRecord): void => {
  let end = 0;
  for (let index = 0; index < table.count; index++) {
    const { uncompressedOffset, uncompressedSize } = table.chunk(index);
    if (uncompressedOffset < end) {
      throw new RafsError(
        'CORRUPT',
        `the chunk at ${uncompressedOffset} overlaps the one that ends at ${end}`,
        {
          blob: blob.id,
          chunk: index,
        },
      );
    }
    end = uncompressedOffset + uncompressedSize;
  }
};

/** Compares every chunk that the image uses with the tables of the available blobs. */
export const compareChunks = (
  bootstrap: Bootstrap,
  blobs: ReadonlyMap<number, CheckedBlob>,
): void => {
  for (const { inode, path, repeated } of walk(bootstrap)) {
    if (inode.type !== 'file' || repeated) continue;
    for (const chunk of bootstrap.chunks(inode)) {
      const checked = blobs.get(chunk.blobIndex);
      if (!checked) continue;
      const fail = (what: string, got: number | string, due: number | string): RafsError =>
        new RafsError('MISMATCH', `the blob has ${what} ${got}, but the bootstrap ${due}`, {
          path: `/${path}`,
          blob: bootstrap.blobs[chunk.blobIndex]!.id,
          chunk: chunk.index,
          offset: chunk.compressedOffset,
        });
      if (checked.digests) {
        const at = chunk.index * DIGEST_SIZE;
        const got = checked.digests.subarray(at, at + DIGEST_SIZE);
        if (!got.equals(chunk.digest)) {
          throw fail('digest', got.toString('hex'), chunk.digest.toString('hex'));
        }
      }
      if (!checked.table) continue;
      const info = checked.table.chunk(chunk.index);
      const fields = info.batch
        ? (['uncompressedOffset', 'uncompressedSize'] as const)
        : ([
            'uncompressedOffset',
            'uncompressedSize',
            'compressedOffset',
            'compressedSize',
          ] as const);
      for (const field of fields) {
        if (info[field] !== chunk[field]) throw fail(field, info[field], chunk[field]);
      }
      if (info.crc32 !== undefined && chunk.crc32 !== undefined && info.crc32 !== chunk.crc32) {
        throw fail('crc32', info.crc32, chunk.crc32);
      }
    }
  }
};
