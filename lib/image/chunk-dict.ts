/**
 * Chunk dictionary: chunks of an image that other images refer to instead of storing them. Kept in
 * columns, about 90 bytes per chunk, because a dictionary may have millions.
 */
import { hasFlag } from '../layout/struct.js';
import { blobElsewhere } from '../bootstrap/blob-table.js';
import type { Bootstrap } from '../bootstrap/bootstrap.js';
import { walk } from '../bootstrap/walk.js';
import type { StoredChunk } from '../model/stored.js';
import { ChunkTable } from '../chunk/chunk-table.js';
import { RowIndex } from '../memory/columns.js';
import { digesterName, type Digester } from '../crypto/digest.js';
import { hashOfDigest } from '../chunk/digest-index.js';
import { RafsError } from '../errors.js';
import { SuperFlag } from '../layout/rafs.js';
import { checkChunk } from './load-image.js';
import type { BlobInfo } from '../model/blob.js';

export class ChunkDict {
  /** blobs that chunks may be in; an image lists only those that it uses */
  readonly blobs: readonly BlobInfo[];
  /** the chunks, one per digest; `blobIndex` is an index in `blobs` */
  readonly chunks = new ChunkTable();
  readonly #index = new RowIndex();

  constructor(blobs: readonly BlobInfo[]) {
    this.blobs = blobs;
  }

  get count(): number {
    return this.chunks.count;
  }

  /** Adds a chunk unless there is one with that digest. */
  add(chunk: StoredChunk): void {
    if (this.#find(chunk.digest) >= 0) return;
    const row = this.chunks.addStored(chunk, chunk.blobIndex);
    this.#index.add(hashOfDigest(chunk.digest), row);
  }

  /** The row of a chunk, or -1; both digest and size must match. */
  find(digest: Buffer, size: number): number {
    const row = this.#find(digest);
    return row >= 0 && this.chunks.uncompressedSize.get(row) === size ? row : -1;
  }

  #find(digest: Buffer): number {
    return this.#index.find(hashOfDigest(digest), row => this.chunks.hasDigest(row, digest));
  }
}

/**
 * Reads the chunks that a build with this digest algorithm can use; there may be none. If the image
 * has no chunk table, or its blobs carry the digests too, these are the chunks that files refer to
 * in blobs with that algorithm. Otherwise they are all chunks in the table, provided that the image
 * as a whole has that algorithm. CORRUPT if a chunk makes no sense.
 */
export const loadChunkDict = (bootstrap: Bootstrap, digester: Digester): ChunkDict => {
  const dict = new ChunkDict(bootstrap.blobs.map(blobElsewhere));
  const isOurs = bootstrap.blobs.map(blob => digesterName(blob.digester) === digester);
  const add = (chunk: StoredChunk): void => {
    checkChunk(bootstrap, chunk);
    dict.add(chunk);
  };
  const inlined = hasFlag(bootstrap.flags, SuperFlag.INLINED_CHUNK_DIGEST);
  if (bootstrap.chunkRecords && !inlined) {
    if (bootstrap.digester !== digester) return dict;
    for (const chunk of bootstrap.chunkRecords()) add(chunk);
  } else {
    for (const { inode, repeated } of walk(bootstrap)) {
      if (inode.type !== 'file' || repeated) continue;
      for (const chunk of bootstrap.chunks(inode)) if (isOurs[chunk.blobIndex]) add(chunk);
    }
  }
  return dict;
};

/**
 * The path in the value of `--chunk-dict`: a path, or 'bootstrap=' and a path. UNSUPPORTED for
 * another kind of dictionary.
 */
export const chunkDictPath = (given: string): string => {
  const equals = given.indexOf('=');
  if (equals < 0) return given;
  const kind = given.slice(0, equals);
  if (kind !== 'bootstrap') throw new RafsError('UNSUPPORTED', `invalid chunk dict type ${kind}`);
  return given.slice(equals + 1);
};
