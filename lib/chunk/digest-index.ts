/** The distinct chunks seen so far, by digest: each has an ordinal, from 0. */
import { ByteArena, Column, RowIndex } from '../memory/columns.js';

const DIGEST_SIZE = 32;

export class DigestIndex {
  readonly #digests = new ByteArena();
  readonly #sizes = new Column(Uint32Array);
  readonly #index = new RowIndex();

  get count(): number {
    return this.#sizes.length;
  }

  /**
   * The ordinal of a chunk, and whether it was there before. A chunk with a known digest but
   * another size gets a new ordinal every time, as in nydus-image: the first stays the known one.
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

  /** Gives a chunk the next ordinal, without letting `add` find it. */
  append(digest: Buffer, size: number): number {
    this.#digests.add(digest);
    this.#sizes.push(size);
    return this.count - 1;
  }

  /** Lets `add` find an appended chunk, unless it finds another with that digest. */
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
