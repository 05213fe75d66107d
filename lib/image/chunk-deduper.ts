/**
 * The names of chunks: a unique index for each distinct digest, in stream order, and whether the image,
 * the image below it or a chunk dictionary already has the chunk.
 *
 * Holds the digest and size of every distinct chunk, including those of the image below, in about
 * 50 bytes each, and four bytes for every chunk of a chunk dictionary.
 */
import { ChunkDict } from './chunk-dict.js';
import { digesterName, type Digester } from '../crypto/digest.js';
import { DigestIndex } from '../chunk/digest-index.js';
import type { LoadedImage } from './load-image.js';
import type { HashedChunk, NamedChunk } from '../model/chunk.js';
import { inOrder } from '../tree/sorted-children.js';

export interface ChunkDeduperOptions {
  algorithm: Digester;
  /** the image that this layer is laid over: its chunks have the first ordinals */
  lower?: LoadedImage | undefined;
  /** chunks that are stored elsewhere; looked up first */
  dict?: ChunkDict | undefined;
}

export class ChunkDeduper {
  readonly algorithm: Digester;
  readonly #dict: ChunkDict;
  /** by row of the dictionary: the unique index of the chunk, plus one; 0 if it has none */
  readonly #ordinals: Uint32Array;
  #seen: DigestIndex;

  constructor({ algorithm, lower, dict = NO_DICT }: ChunkDeduperOptions) {
    this.algorithm = algorithm;
    this.#dict = dict;
    this.#ordinals = new Uint32Array(dict.count);
    this.#seen = lower ? knownChunks(lower, algorithm) : new DigestIndex();
  }

  /** Names the next chunk of the stream, in place. */
  name(chunk: HashedChunk): NamedChunk {
    const named = chunk as NamedChunk;
    const { digest, uncompressedSize: size } = chunk;
    const dictRow = this.#dict.count > 0 ? this.#dict.find(digest, size) : -1;
    if (dictRow < 0) {
      const { uniqueIndex, known } = this.#seen.add(digest, size);
      named.uniqueIndex = uniqueIndex;
      named.known = known;
      return named;
    }
    named.known = true;
    const before = this.#ordinals[dictRow]!;
    if (before > 0) {
      named.uniqueIndex = before - 1;
      return named;
    }
    named.uniqueIndex = this.#seen.append(digest, size);
    named.dictRow = dictRow;
    this.#ordinals[dictRow] = named.uniqueIndex + 1;
    return named;
  }

  /** The digests known before the first chunk of the stream, and how many there are at most. */
  get before(): { count: number; digests: Iterable<Buffer> } {
    const seen = this.#seen;
    const { chunks } = this.#dict;
    function* digests(): Iterable<Buffer> {
      for (let row = 0; row < seen.count; row++) yield seen.digest(row);
      for (let row = 0; row < chunks.count; row++) yield chunks.digest(row);
    }
    return { count: seen.count + chunks.count, digests: digests() };
  }

  /** Call it when all chunks are named: what follows needs the memory. */
  clear(): void {
    this.#seen = new DigestIndex();
  }
}

const NO_DICT = new ChunkDict([]);

/**
 * The chunks of an image, with their rows as ordinals. Those of blobs with another digest algorithm
 * are never found; among those with equal digests, the one that files use first is.
 */
const knownChunks = ({ bootstrap, tree, chunks, blobs }: LoadedImage, algorithm: Digester) => {
  const known = new DigestIndex();
  for (let row = 0; row < chunks.count; row++) {
    known.append(chunks.digest(row), chunks.uncompressedSize.get(row));
  }
  const isOurs: boolean[] = [];
  for (const blob of bootstrap.blobs) {
    isOurs[blobs.indexOf(blob)] = digesterName(blob.digester) === algorithm;
  }
  for (const row of inOrder(tree)) {
    const first = tree.firstChunk.get(row);
    for (let i = first; i < first + tree.chunkCount.get(row); i++) {
      const chunk = chunks.lists.get(i);
      if (isOurs[chunks.blobIndex.get(chunk)]) known.offer(chunk);
    }
  }
  return known;
};
