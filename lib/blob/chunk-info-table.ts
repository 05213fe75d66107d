/**
 * Reads the CI table of a blob: a header of 4096 bytes that says what the stored table is, and one
 * entry per chunk, of format 1 or 2, followed by batch or zran contexts.
 */
import type { BlobRecord } from '../model/stored.js';
import { alignUp } from '../layout/align.js';
import { compressorName } from '../compress/compressors.js';
import { COMPRESSORS } from '../layout/compressors.js';
import { decrypt, secretOf } from '../crypto/aes-xts.js';
import { corrupt } from '../errors.js';
import { WINDOW_SIZE } from '../compress/inflate.js';
import {
  BatchContext,
  BlobFeature,
  CHUNK_INFO_MAGIC,
  ChunkInfoFlag,
  ChunkInfoHeader,
  ChunkInfoV1,
  ChunkInfoV2,
  ZranContext,
} from '../layout/blob.js';
import { BLOCK_SIZE } from '../layout/tar.js';
import type { ZranContextInfo } from '../model/chunk.js';
import { u32, type ValueOf } from '../layout/struct.js';
import { expand } from '../compress/expand.js';

const CONTEXT_SIZE = 40; // of both kinds

/** A chunk as the CI table of its blob describes it. */
export interface ChunkInfo {
  uncompressedOffset: number;
  uncompressedSize: number;
  compressedOffset: number;
  /** 0 for a member of a batch; for a zran chunk, what it consumed of the gzip stream */
  compressedSize: number;
  compressed: boolean;
  encrypted: boolean;
  crc32?: number;
  /** the context that holds the chunk, and where in its output the chunk starts */
  batch?: { context: number; offset: number };
  zran?: { context: number; offset: number };
}

/** A batch, which is stored as one unit. */
export interface BatchUnit {
  compressedSize: number;
  uncompressedSize: number;
}

/** Where inflating a gzip layer starts. */
export interface ZranStart extends ZranContextInfo {
  /** up to 32 KiB of output that come before: a view of the table */
  dictionary: Buffer;
}

export interface ChunkInfoTable {
  readonly count: number;
  readonly contextCount: number;
  /** Refuses an entry that the blob cannot hold. */
  chunk(index: number): ChunkInfo;
  batch(context: number): BatchUnit;
  /** Refuses a context that the layer cannot hold. */
  zran(context: number): ZranStart;
}

/**
 * Whether the blob is an eStargz layer, whose chunks are gzip members: the image was made from its
 * table of contents alone, and states the size of a CI table that does not exist.
 */
export const isLegacyStargz = ({ compressor, features }: BlobRecord): boolean =>
  compressor === COMPRESSORS.gzip && (features & BlobFeature.CHUNK_INFO_V2) === 0;

/** Whether there is a CI table for the blob. */
export const hasChunkInfo = (blob: BlobRecord): boolean =>
  blob.ciUncompressedSize > 0 &&
  (blob.features & (BlobFeature.TARFS | BlobFeature.EXTERNAL)) === 0 &&
  !isLegacyStargz(blob);

/** Whether bytes end with the header of a CI table, as blobs do whose bootstrap is elsewhere. */
export const endsChunkInfo = (tail: Buffer): boolean => {
  const at = tail.length - ChunkInfoHeader.size;
  if (at < 0) return false;
  const { magic, magic2 } = ChunkInfoHeader.offsets;
  return [magic, magic2].every(offset => u32.read(tail, at + offset) === CHUNK_INFO_MAGIC);
};

/**
 * Reads the header and compares it with the blob table.
 *
 * @param stored the 4096 bytes after the stored table
 */
export const parseChunkInfoHeader = (
  stored: Buffer,
  blob: BlobRecord,
): ValueOf<typeof ChunkInfoHeader> => {
  const at = { blob: blob.id, record: 'ChunkInfoHeader' };
  const header = ChunkInfoHeader.decode(unsealed(stored, blob));
  const due: readonly (readonly [string, number, number])[] = [
    ['chunks', header.chunkCount, blob.chunkCount],
    ['compressor', header.ciCompressor, blob.ciCompressor],
    ['offset', header.ciOffset, blob.ciOffset],
    ['compressed size', header.ciCompressedSize, blob.ciCompressedSize],
    ['uncompressed size', header.ciUncompressedSize, blob.ciUncompressedSize],
  ];
  for (const [name, got, wanted] of due) {
    const open = name === 'chunks' && blob.features & BlobFeature.IS_CHUNKDICT_GENERATED;
    if (got !== wanted && !open) throw corrupt(`expected ${name} ${wanted}, got ${got}`, at);
  }
  if (header.chunkCount === 0 || header.chunkCount > 2 ** 24) {
    throw corrupt(`invalid chunk count ${header.chunkCount}`, at);
  }
  return header;
};

/**
 * Reads the table itself.
 *
 * @param stored the blob's `ciCompressedSize` bytes at `ciOffset`
 */
export const parseChunkInfo = (
  stored: Buffer,
  header: ValueOf<typeof ChunkInfoHeader>,
  blob: BlobRecord,
): ChunkInfoTable => {
  const at = { blob: blob.id, section: 'blob.meta' };
  const compressor = compressorName(header.ciCompressor);
  const size = header.ciUncompressedSize;
  const packed = unsealed(stored, blob, compressor === 'none' ? size : undefined);
  return new Table(expand(compressor, packed, size, at), header, blob);
};

/** A stored section of a blob's tables, decrypted if the blob is encrypted. */
export const unsealed = (stored: Buffer, blob: BlobRecord, size?: number): Buffer => {
  const secret = secretOf(blob);
  return secret ? decrypt(secret, stored, size) : stored;
};

class Table implements ChunkInfoTable {
  readonly count: number;
  readonly contextCount: number;
  #plain: Buffer;
  #blob: BlobRecord;
  #v2: boolean;
  #contexts: number;
  #contextEnd: number;
  #dataEnd: number;

  constructor(plain: Buffer, header: ValueOf<typeof ChunkInfoHeader>, blob: BlobRecord) {
    const at = { blob: blob.id, section: 'blob.meta' };
    this.#plain = plain;
    this.#blob = blob;
    this.#v2 = (blob.features & BlobFeature.CHUNK_INFO_V2) !== 0;
    this.count = header.chunkCount;
    const tableSize = this.count * (this.#v2 ? ChunkInfoV2.size : ChunkInfoV1.size);
    if (tableSize > plain.length) {
      throw corrupt(`the table has ${plain.length} bytes, too few for ${this.count} chunks`, at);
    }
    const special = (blob.features & (BlobFeature.BATCH | BlobFeature.ZRAN)) !== 0;
    this.contextCount = special ? header.contextCount : 0;
    const { contextOffset, contextSize } = header;
    this.#contexts = contextOffset;
    this.#contextEnd = contextOffset + contextSize;
    if (
      this.contextCount > 0 &&
      (contextOffset !== tableSize ||
        contextOffset + contextSize > plain.length ||
        this.contextCount > this.count ||
        this.contextCount * CONTEXT_SIZE > contextSize)
    ) {
      throw corrupt(
        `${this.contextCount} contexts do not fit in ${contextSize} bytes at ${contextOffset} of ${plain.length}`,
        at,
      );
    }
    this.#dataEnd = compressedDataSize(blob);
  }

  chunk(index: number): ChunkInfo {
    const at = { blob: this.#blob.id, chunk: index };
    if (!(index >= 0 && index < this.count))
      throw corrupt(`expected a chunk index below ${this.count}`, at);
    const info = this.#v2 ? this.#second(index, at) : this.#first(index);
    const end = info.compressedOffset + info.compressedSize;
    if (end > this.#dataEnd)
      throw corrupt(`the chunk ends at ${end}, past the data, which end at ${this.#dataEnd}`, at);
    const plainEnd = info.uncompressedOffset + info.uncompressedSize;
    if (plainEnd > alignUp(this.#blob.uncompressedSize, 4096)) {
      throw corrupt(
        `the uncompressed chunk ends at ${plainEnd}, past the end of the blob at ${this.#blob.uncompressedSize}`,
        at,
      );
    }
    if (info.uncompressedSize > this.#blob.chunkSize) {
      throw corrupt(
        `the chunk has ${info.uncompressedSize} bytes, more than the chunk size ${this.#blob.chunkSize}`,
        at,
      );
    }
    return info;
  }

  batch(context: number): BatchUnit {
    const at = { blob: this.#blob.id, context };
    if (!(context >= 0 && context < this.contextCount)) {
      throw corrupt(`expected a batch index below ${this.contextCount}`, at);
    }
    const unit = BatchContext.decode(this.#plain, this.#contexts + context * CONTEXT_SIZE);
    const { compressedSize, uncompressedBatchSize: uncompressedSize } = unit;
    if (compressedSize > uncompressedSize || uncompressedSize > this.#blob.chunkSize) {
      throw corrupt(
        `invalid batch of ${compressedSize} bytes, ${uncompressedSize} uncompressed`,
        at,
      );
    }
    return { compressedSize, uncompressedSize };
  }

  zran(context: number): ZranStart {
    const at = { blob: this.#blob.id, context };
    if (!(context >= 0 && context < this.contextCount)) {
      throw corrupt(`expected a context index below ${this.contextCount}`, at);
    }
    const record = ZranContext.decode(this.#plain, this.#contexts + context * CONTEXT_SIZE);
    const { dictOffset, dictSize, ...facts } = record;
    const inEnd = facts.inOffset + facts.inSize;
    if (inEnd > this.#dataEnd) {
      throw corrupt(
        `the context ends at ${inEnd}, past the data, which end at ${this.#dataEnd}`,
        at,
      );
    }
    if (facts.bits > 7 || (facts.bits > 0 && facts.inOffset === 0)) {
      throw corrupt(`the context cannot begin ${facts.bits} bits before ${facts.inOffset}`, at);
    }
    const dictionaries = this.#contexts + this.contextCount * CONTEXT_SIZE;
    const start = dictionaries + dictOffset;
    if (dictSize > WINDOW_SIZE || start + dictSize > this.#contextEnd) {
      throw corrupt(`invalid dictionary of ${dictSize} bytes at ${dictOffset}`, at);
    }
    return { ...facts, dictionary: this.#plain.subarray(start, start + dictSize) };
  }

  #first(index: number): ChunkInfo {
    const { uncompressed, compressed } = ChunkInfoV1.decode(this.#plain, index * ChunkInfoV1.size);
    const uncompressedSize = uncompressed.sizeHigh * 0x10_0000 + uncompressed.sizeLow + 1;
    const compressedSize = compressed.sizeHigh * 0x10_0000 + compressed.sizeLow + 1;
    return {
      uncompressedOffset: uncompressed.offset4k * 4096,
      uncompressedSize,
      compressedOffset: compressed.offset,
      compressedSize,
      compressed: compressedSize !== uncompressedSize,
      encrypted: false,
    };
  }

  #second(index: number, at: Record<string, string | number>): ChunkInfo {
    const entry = ChunkInfoV2.decode(this.#plain, index * ChunkInfoV2.size);
    const { flags, offset4k, sizeMinus1 } = entry.uncompressed;
    const { features } = this.#blob;
    const has = (flag: number): boolean => (flags & flag) !== 0;
    const info: ChunkInfo = {
      uncompressedOffset: offset4k * 4096,
      uncompressedSize: sizeMinus1 + 1,
      compressedOffset: entry.compressed.offset,
      compressedSize: entry.compressed.size,
      compressed: has(ChunkInfoFlag.COMPRESSED),
      encrypted: has(ChunkInfoFlag.ENCRYPTED),
    };
    const place = { context: entry.data.index, offset: entry.data.offset };
    const wrong = `unexpected flags 0x${flags.toString(16)} in a blob with features 0x${features.toString(16)}`;
    if (has(ChunkInfoFlag.ZRAN)) {
      if (!(features & BlobFeature.ZRAN)) throw corrupt(wrong, at);
      const { outSize } = this.zran(place.context);
      if (place.offset + info.uncompressedSize > outSize) {
        throw corrupt(
          `${info.uncompressedSize} bytes at ${place.offset} do not fit in a context of ${outSize}`,
          at,
        );
      }
      return { ...info, zran: place };
    }
    if (has(ChunkInfoFlag.BATCH)) {
      if (!(features & BlobFeature.BATCH)) throw corrupt(wrong, at);
      const unit = this.batch(place.context);
      if (place.offset + info.uncompressedSize > unit.uncompressedSize) {
        throw corrupt(
          `${info.uncompressedSize} bytes at ${place.offset} do not fit in a batch of ${unit.uncompressedSize}`,
          at,
        );
      }
      return { ...info, batch: place };
    }
    if (info.compressedSize === 0 && !(features & BlobFeature.SEPARATE)) {
      throw corrupt('the chunk has a stored size of 0', at);
    }
    const plain = !info.compressed && !info.encrypted;
    if (plain && info.compressedSize !== info.uncompressedSize) {
      throw corrupt(
        `the chunk is not compressed: expected ${info.uncompressedSize} bytes, got ${info.compressedSize}`,
        at,
      );
    }
    if (!has(ChunkInfoFlag.HAS_CRC32)) return info;
    if (entry.data.offset === 0) throw corrupt('the chunk has a checksum of 0', at);
    return { ...info, crc32: entry.data.offset };
  }
}

/** Where the chunk data of a blob end. */
export const compressedDataSize = (blob: BlobRecord): number => {
  if (blob.features & BlobFeature.SEPARATE) return blob.compressedSize;
  const headerSize = blob.features & BlobFeature.HAS_TAR_HEADER ? BLOCK_SIZE : 0;
  if (!hasChunkInfo(blob)) return blob.compressedSize - headerSize;
  return blob.ciOffset - headerSize;
};
