/** The distinct chunks seen so far, by digest: each has an ordinal, from 0. */
import { ByteArena, Column, RowIndex } from './columns.js';

const DIGEST_SIZE = 32;

export class DigestIndex {
  readonly #digests = new ByteArena();
  readonly #sizes = new Column(Uint32Array);
  readonly #index = new RowIndex();

  get count(): number {
    return this.#sizes.length;
  }

  /**
   * The ordinal of a chunk, and whether it was there before. A chunk of equal digest and other size
   * gets an ordinal of its own every time, as nydus-image does: the first stays the known one.
   */
  add(digest: Buffer, size: number): { ordinal: number; known: boolean } {
    const found = this.#find(digest);
    if (found >= 0 && this.#sizes.get(found) === size) return { ordinal: found, known: true };
    const ordinal = this.append(digest, size);
    if (found < 0) this.#index.add(hashOfDigest(digest), ordinal);
    return { ordinal, known: false };
  }

  /** A view of the digest of an ordinal, valid until the next addition. */
  digest(ordinal: number): Buffer {
    return this.#digests.view(ordinal * DIGEST_SIZE, DIGEST_SIZE);
  }

  /** Gives a chunk the next ordinal, under which `add` does not find it. */
  append(digest: Buffer, size: number): number {
    this.#digests.add(digest);
    this.#sizes.push(size);
    return this.count - 1;
  }

  /** Lets `add` find what was appended, unless it finds another chunk of that digest. */
  offer(ordinal: number): void {
    const digest = this.digest(ordinal);
    if (this.#find(digest) < 0) this.#index.add(hashOfDigest(digest), ordinal);
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
