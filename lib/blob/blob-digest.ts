/**
 * The digests of a blob, made as its bytes pass. A blob is named by its sha256, or, if it has the
 * digests of its chunks in it, by that of everything else; whoever stores it may have named it by
 * the former even then. One of its sections has a digest that covers all bytes up to its end.
 */
import { createHash, type Hash } from 'node:crypto';
import { DIGEST_SIZE } from '../crypto/digest.js';

/** From its first byte to the one after its last. */
interface Range {
  readonly start: number;
  readonly end: number;
}

const NOWHERE: Range = { start: Infinity, end: Infinity };

export class BlobDigest {
  readonly #unnamed: Range;
  readonly #data: Range;
  readonly #whole = createHash('sha256');
  /** of all but the unnamed range; the same as that of all bytes until that range begins */
  #named: Hash | undefined;
  #dataHash: Hash | undefined;
  #dataDigest: string | undefined;
  #at = 0;

  /**
   * @param ranges.unnamed the digests of chunks
   * @param ranges.data the chunks and their header
   */
  constructor({ unnamed = NOWHERE, data = NOWHERE }: { unnamed?: Range; data?: Range } = {}) {
    this.#unnamed = unnamed;
    this.#data = data;
  }

  /** Adds the next bytes. */
  update(bytes: Buffer): void {
    const { start, end } = this.#unnamed;
    const stops = [this.#data.start, this.#data.end, start, end];
    for (let at = 0; at < bytes.length;) {
      if (this.#at === start) this.#named ??= this.#whole.copy();
      if (this.#at === this.#data.start) {
        this.#dataHash = this.#at === 0 ? this.#whole : createHash('sha256');
      }
      const left = stops.map(stop => stop - this.#at).filter(distance => distance > 0);
      const piece = bytes.subarray(at, Math.min(bytes.length, at + Math.min(...left)));
      this.#whole.update(piece);
      if (this.#at < start || this.#at >= end) this.#named?.update(piece);
      if (this.#dataHash !== this.#whole) this.#dataHash?.update(piece);
      at += piece.length;
      this.#at += piece.length;
      if (this.#at !== this.#data.end) continue;
      this.#dataDigest = this.#dataHash?.copy().digest('hex');
      this.#dataHash = undefined;
    }
  }

  /** Of the data and their header; undefined if they have not passed. */
  get data(): string | undefined {
    return this.#dataDigest;
  }

  /** By which of these the blob may be named; the first is its sha256. To be read once, at the end. */
  names(): readonly string[] {
    const named = this.#named?.digest('hex');
    return [this.#whole.digest('hex'), ...(named === undefined ? [] : [named])];
  }
}

const HEX_DIGEST = new RegExp(`^[0-9a-f]{${2 * DIGEST_SIZE}}$`);

/** Whether a name can be that of a digest. */
export const isDigestName = (name: string): boolean => HEX_DIGEST.test(name);
