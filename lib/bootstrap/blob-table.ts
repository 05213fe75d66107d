/** The blobs of an image that is being made, in the order in which they are first needed. */
import type { BlobRecord } from '../model/stored.js';
import type { ChunkTable } from '../chunk/chunk-table.js';
import { RafsError } from '../errors.js';
import { BlobFeature } from '../layout/blob.js';
import type { BlobInfo } from '../model/blob.js';

/** An index must fit into eight bits. */
const MAX_INDEX = 0xff;

/**
 * A blob of an image as other images list it: without the mark that it holds the bootstrap, and
 * with the digest of its metadata file if that file is named by it.
 */
export const blobElsewhere = (blob: BlobRecord): BlobInfo => {
  if (!(blob.features & BlobFeature.INLINED_FS_META)) return blob;
  const isDigest = /^[0-9a-f]{64}$/i.test(blob.metaFile ?? '');
  return {
    ...blob,
    features: blob.features - BlobFeature.INLINED_FS_META,
    ...(isDigest ? { metaDigest: Buffer.from(blob.metaFile!, 'hex') } : {}),
  };
};

export class BlobTable {
  readonly #blobs: (BlobInfo | undefined)[] = []; // undefined for the one that is being made
  readonly #indexes = new Map<string, number>();
  #ownIndex = -1;

  /** @param lower blobs of the image that this one is built on */
  constructor(lower: readonly BlobInfo[] = []) {
    for (const blob of lower) this.indexOf(blob);
  }

  /** Index of a blob, which is added if it is new. LIMIT for more than 256. */
  indexOf(blob: BlobInfo): number {
    let index = this.#indexes.get(blob.id);
    if (index === undefined) {
      index = this.#add(blob);
      this.#indexes.set(blob.id, index);
    }
    return index;
  }

  /** Index of the blob that is being made. */
  get ownIndex(): number {
    if (this.#ownIndex < 0) this.#ownIndex = this.#add(undefined);
    return this.#ownIndex;
  }

  /**
   * All blobs; the one that was made takes the place reserved for it. A layer may make a blob again
   * that an image below lists but no longer refers to: the table then has it once, and `chunks` are
   * moved to it.
   */
  finish(own: BlobInfo | undefined, chunks?: ChunkTable): BlobInfo[] {
    const twin = own && this.#indexes.get(own.id);
    if (chunks && twin !== undefined) this.#merge(this.ownIndex, twin, chunks);
    else if (own) this.#blobs[this.ownIndex] = own;
    return this.#blobs.map(blob => {
      if (!blob) throw new Error('the blob of new chunks was not made');
      return blob;
    });
  }

  /** Drops the blob at `index` in favour of the one at `twin`. */
  #merge(index: number, twin: number, chunks: ChunkTable): void {
    const moved = (old: number): number => (old > index ? old - 1 : old);
    this.#blobs.splice(index, 1);
    this.#ownIndex = moved(twin);
    chunks.mapBlobs(old => (old === index ? this.#ownIndex : moved(old)));
  }

  #add(blob: BlobInfo | undefined): number {
    const index = this.#blobs.length;
    if (index > MAX_INDEX)
      throw new RafsError('LIMIT', `an image cannot have more than ${MAX_INDEX + 1} blobs`);
    this.#blobs.push(blob);
    return index;
  }
}
