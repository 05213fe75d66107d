/** The distinct chunks seen so far, by digest: each has a unique index, from 0. */
import { ByteArena, Column, RowIndex } from '../memory/columns.js';
import { DIGEST_SIZE } from '../crypto/digest.js';

export class DigestIndex {
  readonly #digests = new ByteArena();
  readonly #sizes = new Column(Uint32Array);
  readonly #index = new RowIndex();

  get count(): number {
    return this.#sizes.length;
  }

  /**
   * The uniqueIndex of a chunk, and whether it was there before. A chunk with a known digest but
   * another size gets a new uniqueIndex every time, as in nydus-image: the first stays the known one.
   */
  add(digest: Buffer, size: number): { uniqueIndex: number; known: boolean } {
    const found = this.#find(digest);
    if (found >= 0 && this.#sizes.get(found) === size) return { uniqueIndex: found, known: true };
    const uniqueIndex = this.append(digest, size);
    if (found < 0) this.#index.add(hashOfDigest(digest), uniqueIndex);
    return { uniqueIndex, known: false };
  }

  /** A view of the digest of a unique index, valid until the next addition. */
  digest(uniqueIndex: number): Buffer {
    return this.#digests.view(uniqueIndex * DIGEST_SIZE, DIGEST_SIZE);
  }

  /** Gives a chunk the next unique index, without letting `add` find it. */
  append(digest: Buffer, size: number): number {
    this.#digests.add(digest);
    this.#sizes.push(size);
    return this.count - 1;
  }

  /** Lets `add` find an appended chunk, unless it finds another with that digest. */
  offer(uniqueIndex: number): void {
    const digest = this.digest(uniqueIndex);
    if (this.#find(digest) < 0) this.#index.add(hashOfDigest(digest), uniqueIndex);
  }

  #find(digest: Buffer): number {
    return this.#index.find(hashOfDigest(digest), row =>
      this.#digests.equals(row * DIGEST_SIZE, DIGEST_SIZE, digest),
    );
  }
}

/** Digests are random already: four of their bytes will do. */
export const hashOfDigest = (digest: Uint8Array): number =>
  (digest[0]! | (digest[1]! << 8) | (digest[2]! << 16) | (digest[3]! << 24)) >>> 0;
