/**
 * What a database of chunk dictionaries knows of chunks: a row for each time that an image has one.
 * Kept in columns of numbers, about 60 bytes per row and as much per distinct digest, because there
 * may be millions of rows.
 */
import { ByteArena, Column, RowIndex } from '../memory/columns.js';
import { hashOfDigest } from '../chunk/digest-index.js';
import { DIGEST_SIZE } from '../crypto/digest.js';

/** One chunk of one image. */
export interface ChunkRow {
  /** name of the image, without its tag */
  image: string;
  /** the tag */
  version: string;
  blobId: string;
  digest: Buffer;
  crc32: number;
  compressedSize: number;
  uncompressedSize: number;
  compressedOffset: number;
  uncompressedOffset: number;
  /** index in the blob and ChunkFlag bits: unknown if nydus-image wrote the row */
  index?: number;
  flags?: number;
}

/** Numbers strings in the order in which they come. */
export class Names {
  readonly list: string[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf(name: string): number {
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.list.length;
      this.list.push(name);
      this.#numbers.set(name, number);
    }
    return number;
  }
}

export class ChunkRows {
  readonly images = new Names();
  readonly versions = new Names();
  readonly blobs = new Names();
  /** numbers in the lists above */
  readonly image = new Column(Uint32Array);
  readonly version = new Column(Uint32Array);
  readonly blob = new Column(Uint32Array);
  /** number of the digest: equal digests have equal numbers */
  readonly digest = new Column(Uint32Array);
  readonly compressedSize = new Column(Uint32Array);
  readonly uncompressedSize = new Column(Uint32Array);
  readonly crc32 = new Column(Uint32Array);
  readonly compressedOffset = new Column(Float64Array);
  readonly uncompressedOffset = new Column(Float64Array);
  /** `index` and `flags`: one more than the value, or 0 if it is unknown */
  readonly index = new Column(Uint32Array);
  readonly flags = new Column(Uint32Array);
  readonly #digests = new ByteArena();
  readonly #byDigest = new RowIndex();

  get count(): number {
    return this.image.length;
  }

  /** How many distinct digests there are: their numbers are below this. */
  get digestCount(): number {
    return this.#digests.length / DIGEST_SIZE;
  }

  add(row: ChunkRow): void {
    this.image.push(this.images.numberOf(row.image));
    this.version.push(this.versions.numberOf(row.version));
    this.blob.push(this.blobs.numberOf(row.blobId));
    this.digest.push(this.#numberOf(row.digest));
    this.compressedSize.push(row.compressedSize);
    this.uncompressedSize.push(row.uncompressedSize);
    this.crc32.push(row.crc32);
    this.compressedOffset.push(row.compressedOffset);
    this.uncompressedOffset.push(row.uncompressedOffset);
    this.index.push(row.index === undefined ? 0 : row.index + 1);
    this.flags.push(row.flags === undefined ? 0 : row.flags + 1);
  }

  /** A view of the digest of that number, valid until the next addition. */
  digestOf(number: number): Buffer {
    return this.#digests.view(number * DIGEST_SIZE, DIGEST_SIZE);
  }

  #numberOf(digest: Buffer): number {
    const hash = hashOfDigest(digest);
    const found = this.#byDigest.find(hash, n =>
      this.#digests.equals(n * DIGEST_SIZE, DIGEST_SIZE, digest),
    );
    if (found >= 0) return found;
    const number = this.digestCount;
    this.#digests.add(digest);
    this.#byDigest.add(hash, number);
    return number;
  }
}
