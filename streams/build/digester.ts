/**
 * digester: names every chunk by its digest and marks those seen before.
 *
 * takes chunk (which it hashes unless it is hashed), makes chunk (named), passes everything else
 * holds what lib/image/chunk-deduper.ts holds
 */
import { ChunkDeduper, type ChunkDeduperOptions } from '../../lib/image/chunk-deduper.js';
import { crc32c, digest, prepareDigests } from '../../lib/crypto/digest.js';
import type { ChunkPart, EndPart, EntryPart, ExternalPart } from '../../lib/model/parts.js';
import type { Chunk, HashedChunk, NamedChunk } from '../../lib/model/chunk.js';
import { Stage } from '../stage.js';
import { NO_BYTES } from '../../lib/memory/allocate.js';

/** Resolves when the digests are ready. A known chunk is passed on without its bytes. */
export const digester = async (options: ChunkDeduperOptions) => {
  await prepareDigests();
  const { algorithm } = options;
  const names = new ChunkDeduper(options);
  let hole: { digest: Buffer; crc32: number } | undefined; // of a chunk that lies in one

  type Passed = EntryPart | EndPart | ExternalPart;
  type In = Passed | ChunkPart<Chunk | HashedChunk>;
  return new Stage<In, Passed | ChunkPart<NamedChunk>>('digester', {
    transform(part, push) {
      if (part.kind !== 'chunk') {
        push(part);
        return;
      }
      // the chunk is ours: it is turned into a named one in place
      const named = part as ChunkPart<NamedChunk>;
      const { chunk, bytes } = named;
      if (!isHashed(part.chunk)) {
        if (chunk.hole && hole) {
          ({ digest: chunk.digest, crc32: chunk.crc32 } = hole);
        } else {
          chunk.digest = digest(algorithm, bytes);
          chunk.crc32 = crc32c(bytes);
          if (chunk.hole) hole = { digest: chunk.digest, crc32: chunk.crc32 };
        }
      }
      if (names.name(chunk).known) named.bytes = NO_BYTES;
      push(named);
    },
    flush: () => names.clear(),
  });
};

const isHashed = (chunk: Chunk | HashedChunk): chunk is HashedChunk =>
  'digest' in chunk && chunk.digest !== undefined;
