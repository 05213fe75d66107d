/** The chunks of an image, each once, as columns; and the chunk lists of its files. */
import { ByteArena, Column } from './columns.js';
import { ChunkFlag, ChunkRecord } from './layout/v6.js';
import type { PlacedChunk } from './parts.js';

const DIGEST_SIZE = 32;

export class ChunkTable {
  readonly blobIndex = new Column(Uint16Array);
  readonly index = new Column(Uint32Array);
  readonly flags = new Column(Uint8Array);
  readonly compressedOffset = new Column(Float64Array);
  readonly compressedSize = new Column(Uint32Array);
  readonly uncompressedOffset = new Column(Float64Array);
  readonly uncompressedSize = new Column(Uint32Array);
  readonly crc32 = new Column(Uint32Array);
  /** chunk lists of all files, one after another: rows of this table */
  readonly lists = new Column(Uint32Array);
  readonly #digests = new ByteArena();

  get count(): number {
    return this.index.length;
  }

  add(chunk: PlacedChunk): number {
    const row = this.count;
    this.blobIndex.push(chunk.blobIndex);
    this.index.push(chunk.index);
    this.flags.push(ChunkFlag.HAS_CRC32 | (chunk.compressed ? ChunkFlag.COMPRESSED : 0));
    this.compressedOffset.push(chunk.compressedOffset);
    this.compressedSize.push(chunk.compressedSize);
    this.uncompressedOffset.push(chunk.uncompressedOffset);
    this.uncompressedSize.push(chunk.uncompressedSize);
    this.crc32.push(chunk.crc32);
    this.#digests.add(chunk.digest);
    return row;
  }

  /** A view of a chunk's digest, valid until the next addition. */
  digest(row: number): Buffer {
    return this.#digests.view(row * DIGEST_SIZE, DIGEST_SIZE);
  }

  compareDigests(a: number, b: number): number {
    return this.#digests.compare(a * DIGEST_SIZE, DIGEST_SIZE, b * DIGEST_SIZE, DIGEST_SIZE);
  }

  /** Writes the 80-byte record that the chunk tables of v5 and v6 hold. */
  encodeInto(buf: Buffer, at: number, row: number, fileOffset: number): void {
    ChunkRecord.encodeInto(buf, at, {
      digest: this.digest(row),
      blobIndex: this.blobIndex.get(row),
      flags: this.flags.get(row),
      compressedSize: this.compressedSize.get(row),
      uncompressedSize: this.uncompressedSize.get(row),
      compressedOffset: this.compressedOffset.get(row),
      uncompressedOffset: this.uncompressedOffset.get(row),
      fileOffset,
      index: this.index.get(row),
      crc32: this.crc32.get(row),
    });
  }
}
