/** The chunks of an image, each once, as columns; and the chunk lists of its files. */
import type { StoredChunk } from '../model/stored.js';
import { ByteArena, Column } from '../memory/columns.js';
import { ChunkFlag, ChunkRecord } from '../layout/rafs.js';
import type { PlacedChunk } from '../model/chunk.js';
import { DIGEST_SIZE, NO_DIGEST } from '../crypto/digest.js';

/** What chunks of a build and chunks of an image have in common. */
type Place = Pick<
  PlacedChunk & StoredChunk,
  | 'digest'
  | 'index'
  | 'compressedOffset'
  | 'compressedSize'
  | 'uncompressedOffset'
  | 'uncompressedSize'
>;

export class ChunkTable {
  /** whether chunks have names: digest and CRC. Chunks of a tar are only places in it. */
  readonly named: boolean;
  readonly blobIndex = new Column(Uint16Array);
  readonly index = new Column(Uint32Array);
  readonly flags = new Column(Uint8Array);
  readonly compressedOffset = new Column(Float64Array);
  readonly compressedSize = new Column(Uint32Array);
  readonly uncompressedOffset = new Column(Float64Array);
  readonly uncompressedSize = new Column(Uint32Array);
  readonly crc32 = new Column(Uint32Array);
  /** file offsets as recorded in the images that the first rows come from; later rows have none */
  readonly recordedOffset = new Column(Float64Array);
  /** chunk lists of all files, one after another: rows of this table */
  readonly lists = new Column(Uint32Array);
  readonly #digests = new ByteArena();

  constructor({ named = true }: { named?: boolean } = {}) {
    this.named = named;
  }

  get count(): number {
    return this.index.length;
  }

  /** Adds a chunk of this build. */
  add(chunk: PlacedChunk, blobIndex = chunk.blobIndex): number {
    const flags =
      ChunkFlag.HAS_CRC32 |
      (chunk.compressed ? ChunkFlag.COMPRESSED : 0) |
      (chunk.encrypted ? ChunkFlag.ENCRYPTED : 0);
    // only the blob says where a batch lies
    const place = chunk.batch ? { ...chunk, compressedOffset: 0 } : chunk;
    return this.#push(place, blobIndex, flags, chunk.crc32);
  }

  /** Adds a chunk of an image; `blobIndex` is the index that its blob has here. */
  addStored(chunk: StoredChunk, blobIndex: number): number {
    const flags =
      (chunk.compressed ? ChunkFlag.COMPRESSED : 0) |
      (chunk.encrypted ? ChunkFlag.ENCRYPTED : 0) |
      (chunk.crc32 === undefined ? 0 : ChunkFlag.HAS_CRC32);
    return this.#push(chunk, blobIndex, flags, chunk.crc32 ?? 0);
  }

  /** Adds a copy of a row of another table; `blobIndex` is the index that its blob has here. */
  addFrom(other: ChunkTable, row: number, blobIndex: number): number {
    const chunk = {
      digest: other.digest(row),
      index: other.index.get(row),
      compressedOffset: other.compressedOffset.get(row),
      compressedSize: other.compressedSize.get(row),
      uncompressedOffset: other.uncompressedOffset.get(row),
      uncompressedSize: other.uncompressedSize.get(row),
    };
    return this.#push(chunk, blobIndex, other.flags.get(row), other.crc32.get(row));
  }

  /** Replaces the blob index of every chunk. */
  mapBlobs(map: (index: number) => number): void {
    for (let row = 0; row < this.count; row++) {
      this.blobIndex.data[row] = map(this.blobIndex.get(row));
    }
  }

  #push(chunk: Place, blobIndex: number, flags: number, crc32: number): number {
    const row = this.count;
    this.blobIndex.push(blobIndex);
    this.index.push(chunk.index);
    this.uncompressedOffset.push(chunk.uncompressedOffset);
    this.uncompressedSize.push(chunk.uncompressedSize);
    if (!this.named) return row; // about 20 bytes instead of 70
    this.flags.push(flags);
    this.compressedOffset.push(chunk.compressedOffset);
    this.compressedSize.push(chunk.compressedSize);
    this.crc32.push(crc32);
    this.#digests.add(chunk.digest);
    return row;
  }

  /** A view of a chunk's digest, valid until the next addition. */
  digest(row: number): Buffer {
    return this.#digests.view(row * DIGEST_SIZE, DIGEST_SIZE);
  }

  /** The first 32 bits of a chunk's digest, as a number that sorts like the digests. */
  digestStart(row: number): number {
    return this.#digests.start(row * DIGEST_SIZE);
  }

  hasDigest(row: number, digest: Buffer): boolean {
    return this.#digests.equals(row * DIGEST_SIZE, DIGEST_SIZE, digest);
  }

  compareDigests(a: number, b: number): number {
    return this.#digests.compare(a * DIGEST_SIZE, DIGEST_SIZE, b * DIGEST_SIZE, DIGEST_SIZE);
  }

  /** Writes the 80-byte record that the chunk tables of v5 and v6 hold. */
  encodeInto(buf: Buffer, at: number, row: number, fileOffset: number): void {
    const size = this.uncompressedSize.get(row);
    const offset = this.uncompressedOffset.get(row);
    ChunkRecord.encodeInto(buf, at, {
      digest: this.named ? this.digest(row) : NO_DIGEST,
      blobIndex: this.blobIndex.get(row),
      flags: this.named ? this.flags.get(row) : 0,
      compressedSize: this.named ? this.compressedSize.get(row) : size,
      uncompressedSize: size,
      compressedOffset: this.named ? this.compressedOffset.get(row) : offset,
      uncompressedOffset: offset,
      fileOffset,
      index: this.index.get(row),
      crc32: this.named ? this.crc32.get(row) : 0,
    });
  }
}
