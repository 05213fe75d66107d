/** Compresses runs of chunks and hashes them on the way, in a worker thread or without threads. */
import { ChunkHashes, roomForHashes } from './chunk-hashes.js';
import { compressInto } from '../compress/compressors.js';
import type { Compressor } from '../layout/compressors.js';
import type { Digester } from '../crypto/digest.js';
import type { DigestFilter } from './digest-filter.js';

/** Memory of a run: its chunks one after another, and room for what they are compressed to. */
export interface RunMemory {
  readonly plain: SharedArrayBuffer;
  /** `compressBound` of `plain` */
  readonly packed: SharedArrayBuffer;
}

export interface CompressRunOptions {
  compressor: Compressor;
  /** given if the chunks are to be hashed too */
  hashing?: { digester: Digester; seen: DigestFilter };
}

export interface CompressedRun {
  /** for each chunk, its stored size, 0 if it stays uncompressed, or LEFT */
  stored: readonly number[];
  /** for `ChunkHashes`, if the chunks were hashed */
  hashes?: Uint8Array<ArrayBuffer>;
}

/** A chunk that was not compressed, because it seems to be known: the caller can tell for sure. */
export const LEFT = -1;

/**
 * Compresses chunks that lie one after another in `plain`, and puts the results one after another
 * into `packed`, as `compressInto` does. Needs `prepareCompressors`, and `prepareDigests` to hash.
 */
export const compressRun = (
  { plain, packed }: RunMemory,
  sizes: readonly number[],
  { compressor, hashing }: CompressRunOptions,
): CompressedRun => {
  const bytes = Buffer.from(plain);
  const out = Buffer.from(packed);
  const made = hashing && roomForHashes(sizes.length);
  const hashes = made && new ChunkHashes(made);
  let from = 0;
  let to = 0;
  const stored = sizes.map((size, i) => {
    const chunk = bytes.subarray(from, from + size);
    from += size;
    if (hashing) {
      hashes!.make(i, hashing.digester, chunk);
      if (hashing.seen.mayHave(hashes!.digest(i))) return LEFT;
    }
    const count = compressInto(compressor, chunk, out, to);
    to += count;
    return count;
  });
  return made ? { stored, hashes: made } : { stored };
};
