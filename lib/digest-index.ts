/** The distinct chunks seen so far, by digest: each has an ordinal, from 0. */
import { ByteArena, Column, RowIndex } from './columns.js';

const DIGEST_SIZE = 32;

export class DigestIndex {
  readonly #digests = new ByteArena();
  readonly #sizes = new Column(Uint32Array);
  readonly #index = new RowIndex(row => hashOf(this.#digests.view(row * DIGEST_SIZE, DIGEST_SIZE)));

  get count(): number {
    return this.#sizes.length;
  }

  /**
   * The ordinal of a chunk, and whether it was there before. A chunk of equal digest and other size
   * gets an ordinal of its own every time, as nydus-image does: the first stays the known one.
   */
  add(digest: Buffer, size: number): { ordinal: number; known: boolean } {
    const hash = hashOf(digest);
    const found = this.#index.find(hash, row =>
      this.#digests.equals(row * DIGEST_SIZE, DIGEST_SIZE, digest),
    );
    if (found >= 0 && this.#sizes.get(found) === size) return { ordinal: found, known: true };
    const ordinal = this.count;
    this.#digests.add(digest);
    this.#sizes.push(size);
    if (found < 0) this.#index.add(hash, ordinal);
    return { ordinal, known: false };
  }
}

/** Digests are random already: four of their bytes will do. */
const hashOf = (digest: Buffer): number =>
  (digest[0]! | (digest[1]! << 8) | (digest[2]! << 16) | (digest[3]! << 24)) >>> 0;
