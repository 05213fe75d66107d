/**
 * digester: names every chunk by its digest and marks those seen before.
 *
 * takes chunk, makes chunk (named), passes everything else
 * holds digest and size of every distinct chunk, about 50 bytes each
 */
import { crc32c, digest, prepareDigests, type Digester } from '../lib/digest.js';
import { DigestIndex } from '../lib/digest-index.js';
import type { ChunkPart, EndPart, EntryPart, NamedChunk } from '../lib/parts.js';
import { Stage } from './stage.js';

const NO_BYTES = Buffer.alloc(0);

/** Resolves when the digests are ready. A known chunk goes on without its bytes. */
export const digester = async ({ algorithm }: { algorithm: Digester }) => {
  await prepareDigests();
  const seen = new DigestIndex();
  return new Stage<EntryPart | ChunkPart | EndPart, EntryPart | ChunkPart<NamedChunk> | EndPart>(
    'digester',
    {
      *part(part) {
        if (part.kind !== 'chunk') {
          yield part;
          return;
        }
        const { bytes, chunk } = part;
        const name = digest(algorithm, bytes);
        const { ordinal, known } = seen.add(name, bytes.length);
        yield {
          kind: 'chunk',
          chunk: { ...chunk, digest: name, crc32: crc32c(bytes), ordinal, known },
          bytes: known ? NO_BYTES : bytes,
        };
      },
    },
  );
};
