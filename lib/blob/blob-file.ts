/**
 * The writing side of a blob: its sections one after another, its running hash and its table of
 * contents. The stage that writes to the blob last ends it: the blob writer or, with an inlined
 * bootstrap, the bootstrap finalizer, to which the blob is handed on.
 */
import { createHash, type Hash } from 'node:crypto';
import { Section, TocEntry } from '../layout/blob.js';
import { sectionHeader } from '../tar/header.js';
import { sha256 } from '../crypto/digest.js';
import { TOC_COMPRESSION_FLAGS, type Compressor } from '../layout/compressors.js';
import type { SectionPart } from '../model/parts.js';
import type { Artifact } from '../model/blob.js';

const tocFlagOf = (compressor: Compressor): number => {
  const flag = TOC_COMPRESSION_FLAGS[compressor];
  if (flag === undefined) throw new Error(`no section is compressed with ${compressor}`);
  return flag;
};

interface TocRow {
  compressor: Compressor;
  compressedSize: number;
  uncompressedSize: number;
  uncompressedDigest: Buffer;
}

export class BlobFile {
  readonly #hash: Hash = createHash('sha256');
  readonly #toc: Buffer[] = [];
  readonly #artifact: Artifact;
  #position = 0;

  /** @param artifact which file its sections are for */
  constructor(artifact: Artifact = 'blob') {
    this.#artifact = artifact;
  }

  /** Bytes written so far. */
  get position(): number {
    return this.#position;
  }

  /** sha256 of all that was written and hashed so far. */
  digest(): Buffer {
    return this.#hash.copy().digest();
  }

  /**
   * Appends bytes. The chunk digest array is the only section that is not hashed, so a blob with a
   * TOC is not named by the sha256 of its file.
   */
  append(bytes: Buffer, { hashed = true } = {}): SectionPart {
    this.#position += bytes.length;
    if (hashed) this.#hash.update(bytes);
    return { kind: 'section', artifact: this.#artifact, bytes };
  }

  /** Appends the tar header that follows a section of `size` bytes. */
  appendHeader(name: string, size: number): SectionPart {
    return this.append(sectionHeader(name, size));
  }

  addToTable(name: string, compressedOffset: number, facts: TocRow): void {
    this.#toc.push(
      TocEntry.encode({
        flags: tocFlagOf(facts.compressor),
        name,
        uncompressedDigest: facts.uncompressedDigest,
        compressedOffset,
        compressedSize: facts.compressedSize,
        uncompressedSize: facts.uncompressedSize,
      }),
    );
  }

  /** The table of contents and its header, with what a blob table says of them. */
  tableOfContents(): { part: SectionPart; tocSize: number; tocDigest: Buffer } {
    const entries = Buffer.concat(this.#toc);
    const bytes = Buffer.concat([entries, sectionHeader(Section.TOC, entries.length)]);
    return { part: this.append(bytes), tocSize: bytes.length, tocDigest: sha256(bytes) };
  }
}
