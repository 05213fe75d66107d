/**
 * digester: names every chunk by its digest and marks those seen before.
 *
 * takes chunk (hashed, or it is hashed here), makes chunk (named), passes everything else
 * holds digest and size of every distinct chunk, about 50 bytes each, those of the image below
 *   among them; and four bytes for every chunk of a chunk dictionary
 */
import { ChunkDict } from '../lib/chunk-dict.js';
import { crc32c, digest, digesterName, prepareDigests, type Digester } from '../lib/digest.js';
import { DigestIndex } from '../lib/digest-index.js';
import type { LowerImage } from '../lib/load-tree.js';
import type {
  Chunk,
  ChunkPart,
  EndPart,
  EntryPart,
  ExternalPart,
  HashedChunk,
  NamedChunk,
} from '../lib/parts.js';
import { inOrder } from '../lib/sorted-children.js';
import { Stage } from './stage.js';

const NO_BYTES = Buffer.alloc(0);

export interface DigesterOptions {
  algorithm: Digester;
  /** the image that this layer is laid over: its chunks have the first ordinals */
  lower?: LowerImage | undefined;
  /** chunks that are stored elsewhere; it is asked first */
  dict?: ChunkDict | undefined;
}

/** Resolves when the digests are ready. A known chunk goes on without its bytes. */
export const digester = async ({ algorithm, lower, dict = NO_DICT }: DigesterOptions) => {
  await prepareDigests();
  let seen = lower ? knownChunks(lower, algorithm) : new DigestIndex();
  const ordinals = new Uint32Array(dict.count); // by row of the dictionary, plus one

  const name = (
    digest: Buffer,
    size: number,
  ): Pick<NamedChunk, 'ordinal' | 'known' | 'dictRow'> => {
    const dictRow = dict.count > 0 ? dict.find(digest, size) : -1;
    if (dictRow < 0) return seen.add(digest, size);
    if (ordinals[dictRow] !== 0) return { ordinal: ordinals[dictRow]! - 1, known: true };
    const ordinal = seen.append(digest, size);
    ordinals[dictRow] = ordinal + 1;
    return { ordinal, known: true, dictRow };
  };

  type Passed = EntryPart | EndPart | ExternalPart;
  type In = Passed | ChunkPart<Chunk | HashedChunk>;
  return new Stage<In, Passed | ChunkPart<NamedChunk>>('digester', {
    each(part, push) {
      if (part.kind !== 'chunk') {
        push(part);
        return;
      }
      // the chunk is ours: it becomes a named one here, field by field
      const named = part as ChunkPart<NamedChunk>;
      const { chunk, bytes } = named;
      if (!isHashed(part.chunk)) {
        chunk.digest = digest(algorithm, bytes);
        chunk.crc32 = crc32c(bytes);
      }
      const { ordinal, known, dictRow } = name(chunk.digest, chunk.uncompressedSize);
      chunk.ordinal = ordinal;
      chunk.known = known;
      if (dictRow !== undefined) chunk.dictRow = dictRow;
      if (known) named.bytes = NO_BYTES;
      push(named);
    },
    end() {
      seen = new DigestIndex(); // what is to come takes memory of its own
    },
  });
};

const isHashed = (chunk: Chunk | HashedChunk): chunk is HashedChunk =>
  'digest' in chunk && chunk.digest !== undefined;

const NO_DICT = new ChunkDict([]);

/**
 * The chunks of an image by their rows. Those of blobs with another digest algorithm are never
 * found; of two with one digest it is the first that files use.
 */
const knownChunks = ({ bootstrap, tree, chunks, blobs }: LowerImage, algorithm: Digester) => {
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
