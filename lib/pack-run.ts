/** Compresses runs of chunks, and hashes them on the way: what a thread does, or whoever has none. */
import { ChunkHashes, roomForHashes } from './chunk-hashes.js';
import { compressInto, type Compressor } from './compress.js';
import type { Digester } from './digest.js';
import type { DigestFilter } from './digest-filter.js';

/** Memory that a run lies in: its chunks one behind another, and room for what they become. */
export interface RunMemory {
  readonly plain: SharedArrayBuffer;
  /** `compressBound` of `plain` */
  readonly packed: SharedArrayBuffer;
}

export interface PackOptions {
  compressor: Compressor;
  /** makes hashes of the chunks, where they come without */
  hashing?: { digester: Digester; seen: DigestFilter };
}

export interface PackedRun {
  /** by chunk: the stored size, 0 for one that stays as it is, or LEFT */
  stored: readonly number[];
  /** of `ChunkHashes`, where they were asked for */
  hashes?: Uint8Array<ArrayBuffer>;
}

/** A chunk that was not compressed since it seems to be known: it is for whoever can tell. */
export const LEFT = -1;

/**
 * Compresses chunks that lie one behind another, and lays what they become one behind another, as
 * `compressInto` does. Needs `prepareCompressors`, and `prepareDigests` where it hashes.
 */
export const packRun = (
  { plain, packed }: RunMemory,
  sizes: readonly number[],
  { compressor, hashing }: PackOptions,
): PackedRun => {
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
