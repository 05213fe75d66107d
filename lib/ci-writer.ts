/** The writing side of a blob's CI table: 16 bytes per chunk, then a header of 4096. */
import { ByteArena } from './columns.js';
import { compress, COMPRESSORS, type Compressor } from './compress.js';
import { RafsError } from './errors.js';
import { ChunkInfoHeader, ChunkInfoV1 } from './layout/blob.js';
import { V6 } from './layout/v6.js';
import type { PlacedChunk } from './parts.js';

/** Sizes are held less one, cut at this bit. */
const SIZE_CUT = 2 ** 20;
const OFFSET_UNIT = 0x1000;

export interface StoredCi {
  /** the table without contexts, as it was made */
  plain: Buffer;
  /** the table as it is stored */
  stored: Buffer;
  compressor: Compressor;
  header: Buffer;
}

/** Collects chunks in the order of their index. */
export class CiWriter {
  readonly #records = new ByteArena();
  readonly #scratch = Buffer.alloc(ChunkInfoV1.size);

  get chunkCount(): number {
    return this.#records.length / ChunkInfoV1.size;
  }

  add(chunk: PlacedChunk): void {
    if (chunk.index > V6.MAX_CHUNK_INDEX) {
      throw new RafsError('LIMIT', `more than ${chunk.index} chunks in one blob`);
    }
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
    this.#records.add(this.#scratch);
  }

  /** @param ciOffset where the stored table will lie in the blob */
  finish({
    compressor,
    features,
    ciOffset,
  }: {
    compressor: Compressor;
    features: number;
    ciOffset: number;
  }): StoredCi {
    const plain = this.#records.view(0, this.#records.length);
    const packed = compress(compressor, plain);
    const stored = packed ?? plain;
    const used = packed ? compressor : 'none';
    const header = ChunkInfoHeader.encode({
      features,
      ciCompressor: COMPRESSORS[used],
      chunkCount: this.chunkCount,
      ciOffset,
      ciCompressedSize: stored.length,
      ciUncompressedSize: plain.length,
      contextOffset: 0,
      contextSize: 0,
      contextCount: 0,
    });
    return { plain, stored, compressor: used, header };
  }
}
