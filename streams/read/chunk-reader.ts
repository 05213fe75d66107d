/** Reads chunks of a blob, decompressed and checked. */

import {
  type ChunkInfoTable,
  isLegacyStargz,
  type ChunkInfo,
} from '../../lib/blob/chunk-info-table.js';
import { compressorName } from '../../lib/compress/compressors.js';
import { expand } from '../../lib/compress/expand.js';
import { sealedSize, secretOf, decrypt } from '../../lib/crypto/aes-xts.js';
import { RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { Allocator } from '../../lib/memory/allocate.js';
import type { BlobRecord, StoredChunk } from '../../lib/model/stored.js';
import type { ReaderAt } from '../io/reader-at.js';
import type { StoredBytes } from './blob-blocks.js';
import { readChunkInfo, MOST_HEADER } from './chunk-info.js';
import { ZranReader, readMember } from './zran-reader.js';

export interface ChunkReaderOptions {
  /** where the blob's tables are, if not in the blob */
  tables?: ReaderAt | undefined;
  /** the CI table, if it has been read already */
  table?: ChunkInfoTable | undefined;
  /** makes the memory for a chunk; without it, chunks may share memory with each other */
  room?: Allocator | undefined;
}

/** Unpacks the chunks of one blob. */
export class ChunkReader {
  readonly blob: BlobRecord;
  #source: ReaderAt;
  #blocks: StoredBytes;
  #table: Promise<ChunkInfoTable> | undefined;
  #tableSource: ReaderAt;
  #room: Allocator | undefined;
  #unit: { context: number; bytes: Buffer } | undefined; // the batch unpacked last
  #zran: ZranReader | undefined;

  constructor(
    blob: BlobRecord,
    source: ReaderAt,
    blocks: StoredBytes,
    { tables = source, table, room }: ChunkReaderOptions = {},
  ) {
    this.blob = blob;
    this.#table = table && Promise.resolve(table);
    this.#source = source;
    this.#blocks = blocks;
    this.#tableSource = tables;
    this.#room = room;
  }

  /** The plain bytes; without a promise if the block with the stored ones is held. */
  read(chunk: StoredChunk): Buffer | Promise<Buffer> {
    const { features } = this.blob;
    if (features & BlobFeature.ZRAN) return this.#inflated(chunk);
    if (isLegacyStargz(this.blob)) return this.#member(chunk);
    if (features & BlobFeature.BATCH) {
      return this.#batchOf(chunk).then(bytes => bytes ?? this.#single(chunk));
    }
    return this.#single(chunk);
  }

  async #inflated(chunk: StoredChunk): Promise<Buffer> {
    const [info, table] = await this.#info(chunk);
    this.#zran ??= new ZranReader(this.#source, table);
    return this.#zran.read(info);
  }

  /** A chunk that is stored on its own. */
  #single(chunk: StoredChunk): Buffer | Promise<Buffer> {
    const most = chunk.encrypted ? sealedSize(chunk.uncompressedSize) : chunk.uncompressedSize;
    if (!chunk.compressed && chunk.compressedSize !== most) {
      throw new RafsError(
        'CORRUPT',
        `the chunk has ${chunk.compressedSize} stored bytes, expected at most ${most}`,
      );
    }
    // a chunk is never stored in more bytes than it has
    if (chunk.compressedSize > Math.max(most, chunk.encrypted ? sealedSize(0) : 0)) {
      throw new RafsError(
        'CORRUPT',
        `${chunk.compressedSize} bytes cannot hold ${chunk.uncompressedSize}`,
      );
    }
    const { compressedOffset, compressedSize } = chunk;
    const stored = this.#blocks.read(this.#source, compressedOffset, compressedSize);
    if (!(stored instanceof Promise)) return this.#plain(chunk, stored);
    return stored.then(bytes => this.#plain(chunk, bytes));
  }

  #plain({ uncompressedSize, compressed, encrypted }: StoredChunk, stored: Buffer): Buffer {
    const packed = encrypted
      ? this.#unseal(stored, compressed ? undefined : uncompressedSize)
      : stored;
    const compressor = compressed ? compressorName(this.blob.compressor) : 'none';
    return expand(compressor, packed, uncompressedSize, {}, this.#room);
  }

  #unseal(stored: Buffer, size: number | undefined): Buffer {
    const secret = secretOf(this.blob);
    if (!secret) throw new RafsError('CORRUPT', 'the chunk is encrypted, but its blob has no key');
    return decrypt(secret, stored, size);
  }

  /** The chunk as the CI table describes it. */
  async #info({ index, uncompressedSize }: StoredChunk): Promise<[ChunkInfo, ChunkInfoTable]> {
    this.#table ??= readChunkInfo(this.#tableSource, this.blob);
    const table = await this.#table;
    const info = table.chunk(index);
    if (info.uncompressedSize !== uncompressedSize) {
      const size = info.uncompressedSize;
      throw new RafsError('CORRUPT', `expected ${uncompressedSize} bytes, got ${size} in the blob`);
    }
    return [info, table];
  }

  /** A chunk that is a gzip member. Its stored size is an estimate, which is never too small. */
  async #member({ compressedOffset, compressedSize, uncompressedSize }: StoredChunk) {
    const most = Math.min(compressedSize, 2 * uncompressedSize + MOST_HEADER);
    const size = Math.min(most, this.#source.size - compressedOffset);
    const stored = await this.#blocks.read(this.#source, compressedOffset, size);
    return readMember(stored, uncompressedSize);
  }

  /** The chunk, taken from its batch; undefined if it is not in one. */
  async #batchOf(chunk: StoredChunk): Promise<Buffer | undefined> {
    const [info, table] = await this.#info(chunk);
    const { batch, compressedOffset, encrypted, uncompressedSize: size } = info;
    if (!batch) return undefined;
    if (this.#unit?.context !== batch.context) {
      const unit = table.batch(batch.context);
      const stored = await this.#blocks.read(this.#source, compressedOffset, unit.compressedSize);
      const whole = unit.compressedSize === unit.uncompressedSize;
      const compressor = whole ? 'none' : compressorName(this.blob.compressor);
      const packed = encrypted
        ? this.#unseal(stored, whole ? unit.uncompressedSize : undefined)
        : stored;
      const bytes = expand(compressor, packed, unit.uncompressedSize, { batch: batch.context });
      this.#unit = { context: batch.context, bytes };
    }
    return this.#unit.bytes.subarray(batch.offset, batch.offset + size);
  }
}
