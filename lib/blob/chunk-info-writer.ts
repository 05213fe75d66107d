/**
 * The writing side of a blob's CI table: a record per chunk, then what the records refer to (zran
 * or batch contexts with their dictionaries), then a header of 4096 bytes.
 */
import { ByteArena } from '../memory/columns.js';
import { compress } from '../compress/compressors.js';
import { COMPRESSORS, type Compressor } from '../layout/compressors.js';
import { encrypt, isMistakable, type Secret } from '../crypto/aes-xts.js';
import { RafsError } from '../errors.js';
import { ChunkInfoFlag, ChunkInfoHeader, ChunkInfoV1, ChunkInfoV2 } from '../layout/blob.js';
import { V6 } from '../layout/rafs-v6.js';
import type { PlacedChunk } from '../model/chunk.js';

/** Format 1 stores sizes minus one, split at this bit. */
const SIZE_CUT = 2 ** 20;
const OFFSET_UNIT = 0x1000;

/** What format 2 says of a chunk in addition to its place. */
export interface ChunkInfoExtra {
  /** ChunkInfoFlag bits */
  flags: number;
  /** context and offset in its output; or, as the offset, the CRC-32C */
  data: { index: number; offset: number };
}

export interface StoredCi {
  /** the table as it was made */
  plain: Buffer;
  /** the table as it is stored */
  stored: Buffer;
  compressor: Compressor;
  header: Buffer;
}

/** Collects the chunks of a blob in the order of their index. */
export class ChunkInfoWriter {
  readonly #records = new ByteArena();
  readonly #format: 1 | 2;
  readonly #scratch: Buffer;

  /** @param format 2 for blobs with the feature CHUNK_INFO_V2 */
  constructor(format: 1 | 2 = 1) {
    this.#format = format;
    this.#scratch = Buffer.alloc((format === 1 ? ChunkInfoV1 : ChunkInfoV2).size);
  }

  get chunkCount(): number {
    return this.#records.length / this.#scratch.length;
  }

  /** @param extra for format 2; by default, that of a chunk stored alone or in a batch */
  add(chunk: PlacedChunk, extra: ChunkInfoExtra = extraOf(chunk)): void {
    if (chunk.index > V6.MAX_CHUNK_INDEX) {
      throw new RafsError('LIMIT', `a blob cannot have more than ${chunk.index} chunks`);
    }
    if (this.#format === 1) this.#encodeV1(chunk);
    else this.#encodeV2(chunk, extra);
    this.#records.add(this.#scratch);
  }

  /** Replaces the context of every chunk by what `numbers` has for it; format 2. */
  renumber(numbers: Uint32Array): void {
    for (let at = 0; at < this.#records.length; at += ChunkInfoV2.size) {
      const record = this.#records.view(at, ChunkInfoV2.size);
      const { data, ...rest } = ChunkInfoV2.decode(record);
      const index = numbers[data.index]!; // every context in use has one
      ChunkInfoV2.encodeInto(record, 0, { ...rest, data: { ...data, index } });
    }
  }

  /**
   * @param options.ciOffset where the stored table will lie in the blob
   * @param options.contexts contexts one after another, then their dictionaries; if given, the
   *   header states their place even if there are none
   * @param options.whole records and contexts together, if the caller has the whole table
   * @param options.secret encrypts the stored table; the caller encrypts the header
   */
  finish({
    compressor,
    features,
    ciOffset,
    contexts,
    contextCount = 0,
    whole,
    secret,
  }: {
    compressor: Compressor;
    features: number;
    ciOffset: number;
    contexts?: Buffer;
    contextCount?: number;
    whole?: Buffer;
    secret?: Secret | undefined;
  }): StoredCi {
    const plain =
      whole ?? (contexts?.length ? Buffer.concat([this.records, contexts]) : this.records);
    const smaller = compress(compressor, plain);
    const packed = secret && smaller && isMistakable(smaller) ? undefined : smaller;
    const stored = secret ? encrypt(secret, packed ?? plain) : (packed ?? plain);
    const used = packed ? compressor : 'none';
    const header = this.header({
      features,
      compressor: used,
      ciOffset,
      storedSize: stored.length,
      plainSize: plain.length,
      ...(contexts || whole ? { contextCount } : {}),
    });
    return { plain, stored, compressor: used, header };
  }

  /** The records alone. */
  get records(): Buffer {
    return this.#records.view(0, this.#records.length);
  }

  /** @param contextCount how many contexts follow the records; undefined without a part for them */
  header({
    features,
    compressor,
    ciOffset,
    storedSize,
    plainSize,
    contextCount,
  }: {
    features: number;
    compressor: Compressor;
    ciOffset: number;
    storedSize: number;
    plainSize: number;
    contextCount?: number;
  }): Buffer {
    return ChunkInfoHeader.encode({
      features,
      ciCompressor: COMPRESSORS[compressor],
      chunkCount: this.chunkCount,
      ciOffset,
      ciCompressedSize: storedSize,
      ciUncompressedSize: plainSize,
      contextOffset: contextCount === undefined ? 0 : this.#records.length,
      contextSize: plainSize - this.#records.length,
      contextCount: contextCount ?? 0,
    });
  }

  #encodeV1(chunk: PlacedChunk): void {
    const plainSize = chunk.uncompressedSize - 1;
    const storedSize = chunk.compressedSize - 1;
    ChunkInfoV1.encodeInto(this.#scratch, 0, {
      uncompressed: {
        reserved: 0,
        sizeHigh: Math.floor(plainSize / SIZE_CUT),
        offset4k: chunk.uncompressedOffset / OFFSET_UNIT,
        sizeLow: plainSize % SIZE_CUT,
      },
      compressed: {
        offset: chunk.compressedOffset,
        sizeHigh: Math.floor(storedSize / SIZE_CUT),
        sizeLow: storedSize % SIZE_CUT,
      },
    });
  }

  #encodeV2(chunk: PlacedChunk, { flags, data }: ChunkInfoExtra): void {
    ChunkInfoV2.encodeInto(this.#scratch, 0, {
      uncompressed: {
        offset4k: chunk.uncompressedOffset / OFFSET_UNIT,
        sizeMinus1: chunk.uncompressedSize - 1,
        flags,
      },
      compressed: { offset: chunk.compressedOffset, size: chunk.compressedSize },
      data,
    });
  }
}

const extraOf = ({ batch, compressed, encrypted, crc32 }: PlacedChunk): ChunkInfoExtra => {
  const cipher = encrypted ? ChunkInfoFlag.ENCRYPTED : 0;
  if (batch) {
    return {
      // always COMPRESSED: whether the batch really is follows from its own sizes
      flags: ChunkInfoFlag.BATCH | ChunkInfoFlag.COMPRESSED | cipher,
      data: { index: batch.context, offset: batch.offset },
    };
  }
  const packed = compressed ? ChunkInfoFlag.COMPRESSED : 0;
  const checked = crc32 === 0 ? 0 : ChunkInfoFlag.HAS_CRC32; // readers refuse a checksum of 0
  return { flags: packed | checked | cipher, data: { index: 0, offset: crc32 } };
};
