/**
 * hash-joiner: takes runs apart into their parts, and gives the chunks among them their hashes.
 *
 * takes run, makes entry, chunk (hashed), end and context, passes layer
 * holds nothing
 *
 * A stage of its own because it never waits: passing parts one by one through an asynchronous stage
 * costs several times as much.
 */
import { ChunkHashes } from '../../lib/chunk/chunk-hashes.js';
import type { ChunkPart, LayerPart } from '../../lib/model/parts.js';
import type { HashedChunk } from '../../lib/model/chunk.js';
import { Stage, type Push } from '../stage.js';
import type { RunPart } from './zran-demux.js';
import type { ZranPart } from './zran-parser.js';

type Out = Exclude<ZranPart, { kind: 'chunk' }> | ChunkPart<HashedChunk> | LayerPart;

export const hashJoiner = () =>
  new Stage<RunPart | LayerPart, Out>('hash-joiner', {
    transform(part, push) {
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
      // set later by the digester
      uniqueIndex: 0,
      known: false,
    };
    push({ kind: 'chunk', chunk, bytes: part.bytes });
  }
};
