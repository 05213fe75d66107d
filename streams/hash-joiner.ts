/**
 * hash-joiner: runs of parts to the parts, the chunks among them with their hashes.
 *
 * takes run, makes entry, chunk (hashed), end and context, passes layer
 * holds nothing
 *
 * A stage of its own since it waits for nothing: parts that go through an asynchronous stage one
 * by one cost several times as much.
 */
import { ChunkHashes } from '../lib/chunk-hashes.js';
import type { ChunkPart, HashedChunk, LayerPart } from '../lib/parts.js';
import { Stage, type Push } from './stage.js';
import type { RunPart } from './zran-demux.js';
import type { ZranPart } from './zran-parser.js';

type Out = Exclude<ZranPart, { kind: 'chunk' }> | ChunkPart<HashedChunk> | LayerPart;

export const hashJoiner = () =>
  new Stage<RunPart | LayerPart, Out>('hash-joiner', {
    each(part, push) {
      if (part.kind === 'run') join(part, push);
      else push(part);
    },
  });

const join = ({ parts, hashes: bytes }: RunPart, push: Push<Out>): void => {
  const hashes = new ChunkHashes(bytes);
  let at = 0;
  for (const part of parts) {
    if (part.kind !== 'chunk') {
      push(part);
      continue;
    }
    const { fileOffset, uncompressedSize, zran } = part.chunk;
    const digest = hashes.digest(at);
    const crc32 = hashes.checksums[at++]!;
    const chunk = {
      fileOffset,
      uncompressedSize,
      zran,
      digest,
      crc32,
      // what the digester will say of it
      ordinal: 0,
      known: false,
    };
    push({ kind: 'chunk', chunk, bytes: part.bytes });
  }
};
