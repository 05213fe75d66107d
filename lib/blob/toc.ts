/**
 * Finds the sections of a blob from its tail: the last bytes are the tar header of the table of
 * contents, or of the bootstrap where there is no table. Headers follow what they describe, so a
 * blob without a table can be walked backwards.
 */
import { compressorWith, TOC_COMPRESSION_FLAGS, type Compressor } from '../layout/compressors.js';
import { sha256 } from '../crypto/digest.js';
import { RafsError, corrupt } from '../errors.js';
import { Section, TocEntry } from '../layout/blob.js';
import { BLOCK_SIZE } from '../layout/tar.js';
import { readSectionHeader } from '../tar/header.js';
import { expand } from '../compress/expand.js';

/** A section of a blob: where it is stored, and what it is when unpacked. */
export interface BlobSection {
  name: string;
  offset: number;
  size: number;
  compressor: Compressor;
  uncompressedSize: number;
  /** sha256 of the unpacked bytes (of `image.blob`: of the stored bytes and their tar header) */
  digest?: Buffer;
}

/** How many bytes are enough to find the table of contents of a blob of this size. */
export const tailSize = (blobSize: number): number =>
  Math.min(TAIL_SIZE, Math.floor(blobSize / TocEntry.size) * TocEntry.size);
const TAIL_SIZE = 4096;

/** The name and size in a section's tar header; undefined if the bytes are no such header. */
export const parseSectionHeader = (
  bytes: Buffer,
  at: number,
): { name: string; size: number } | undefined => {
  try {
    return at < 0 ? undefined : readSectionHeader(bytes, at);
  } catch (error) {
    if (error instanceof RafsError) return undefined;
    throw error;
  }
};

/** Whether bytes end with the tar header of a section, as files do that hold sections. */
export const endsSection = (tail: Buffer): boolean => {
  const header = parseSectionHeader(tail, tail.length - BLOCK_SIZE);
  return header !== undefined && SECTION_NAMES.has(header.name);
};
const SECTION_NAMES: ReadonlySet<string> = new Set(Object.values(Section));

/**
 * The sections that can be found from the tail.
 *
 * @param tail the last `tailSize(blobSize)` bytes of the blob
 * @returns undefined if the tail is not that of a blob with a table or an inlined bootstrap
 */
export const sectionsOfTail = (tail: Buffer, blobSize: number): BlobSection[] | undefined => {
  const headerAt = tail.length - BLOCK_SIZE;
  const header = parseSectionHeader(tail, headerAt);
  if (!header) return undefined;
  const end = blobSize - BLOCK_SIZE;
  if (header.name === Section.TOC) {
    if (header.size > headerAt) throw corrupt(`a TOC of ${header.size} bytes cannot end at ${end}`);
    return parseToc(tail.subarray(headerAt - header.size, headerAt), end - header.size);
  }
  if (header.name !== Section.BOOT) return undefined;
  if (header.size > end) throw corrupt(`a bootstrap of ${header.size} bytes cannot end at ${end}`);
  return [
    {
      name: header.name,
      offset: end - header.size,
      size: header.size,
      compressor: 'none',
      uncompressedSize: header.size,
    },
  ];
};

/**
 * The entries of a table of contents.
 *
 * @param tocOffset where the table lies in the blob; every section must end before it
 */
export const parseToc = (bytes: Buffer, tocOffset: number): BlobSection[] => {
  if (bytes.length === 0 || bytes.length % TocEntry.size !== 0) {
    throw corrupt(`invalid TOC size ${bytes.length}`);
  }
  const sections: BlobSection[] = [];
  for (let at = 0; at < bytes.length; at += TocEntry.size) {
    const entry = TocEntry.decode(bytes, at);
    const section = {
      name: entry.name,
      offset: entry.compressedOffset,
      size: entry.compressedSize,
      compressor: compressorOf(entry.flags, entry.name),
      uncompressedSize: entry.uncompressedSize,
      digest: entry.uncompressedDigest,
    };
    if (!(section.offset + section.size <= tocOffset)) {
      throw corrupt(
        `the section ends at ${section.offset + section.size}, past the TOC at ${tocOffset}`,
        {
          section: entry.name,
        },
      );
    }
    if (sections.some(other => other.name === section.name)) {
      throw corrupt('the section is in the TOC twice', { section: entry.name });
    }
    // image.blob says how large its chunks are when unpacked, though it is not packed as a whole
    const plain = section.compressor === 'none' && section.name !== Section.BLOB;
    if (plain && section.size !== section.uncompressedSize) {
      throw corrupt(
        `the section is not compressed: expected ${section.uncompressedSize} bytes, got ${section.size}`,
        {
          section: entry.name,
        },
      );
    }
    sections.push(section);
  }
  const meta = sections.find(({ name }) => name === Section.META);
  const header = sections.find(({ name }) => name === Section.META_HEADER);
  if (meta && header && header.offset !== meta.offset + meta.size) {
    throw corrupt(`expected the section at ${meta.offset + meta.size}, got ${header.offset}`, {
      section: Section.META_HEADER,
    });
  }
  return sections;
};

/**
 * The unpacked bytes of a section, compared with its digest where it has one.
 *
 * @param stored its `size` bytes
 */
export const unpackSection = (section: BlobSection, stored: Buffer): Buffer => {
  const at = { section: section.name };
  const plain = expand(section.compressor, stored, section.uncompressedSize, at);
  if (section.digest && !sha256(plain).equals(section.digest)) {
    throw new RafsError(
      'MISMATCH',
      `the section does not have the sha256 ${section.digest.toString('hex')}`,
      at,
    );
  }
  return plain;
};

const compressorOf = (flags: number, section: string): Compressor => {
  const found = compressorWith(TOC_COMPRESSION_FLAGS, flags);
  if (found) return found;
  throw corrupt(`invalid section flags 0x${flags.toString(16)}`, { section });
};
