/**
 * batcher: joins the chunks of small files into batches, each of which is stored as one unit.
 *
 * takes chunk (named), makes chunk (named, with its place in a batch) and batch, passes entry, end
 *   and external; a batch comes after all of its chunks, and before the next new chunk not in it
 * holds one batch
 */
import { ChunkBatchBuffer } from '../../lib/blob/batch-buffer.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import type {
  ChunkBatchPart,
  ChunkPart,
  EndPart,
  EntryPart,
  ExternalPart,
} from '../../lib/model/parts.js';
import type { NamedChunk } from '../../lib/model/chunk.js';
import type { Entry } from '../../lib/model/entry.js';
import { Stage } from '../stage.js';
import { NO_BYTES } from '../../lib/memory/allocate.js';

export interface ChunkBatcherOptions {
  /** a batch has fewer bytes than this */
  batchSize: number;
  /** no batch begins with a chunk of fewer bytes than this */
  leastBatch?: number;
  /** chunks in a batch keep their own bytes, too */
  keepBytes?: boolean;
  /** pool of buffers of `batchSize` to make batches in, if a later stage reports its progress */
  pool?: BufferPool | undefined;
}

type In = EntryPart | ChunkPart<NamedChunk> | EndPart | ExternalPart;
type Out = In | ChunkBatchPart;

export const chunkBatcher = ({
  batchSize,
  leastBatch = 0,
  keepBytes = false,
  pool,
}: ChunkBatcherOptions) => {
  const buffer = new ChunkBatchBuffer(batchSize, leastBatch, pool);
  let entry: Entry | undefined;

  function* flush(): Iterable<Out> {
    const bytes = buffer.take();
    if (bytes) yield { kind: 'batch', uncompressedSize: bytes.length, bytes };
  }

  return new Stage<In, Out>('batcher', {
    *transform(part) {
      if (part.kind === 'entry') entry = part.entry;
      if (part.kind !== 'chunk' || part.chunk.known) {
        yield part;
        return;
      }
      const { chunk, bytes } = part;
      const size = bytes.length;
      const joins = buffer.takes(size, size === entry!.size); // chunks follow their entry
      if (!joins || !buffer.hasRoom(size)) yield* flush();
      yield joins
        ? {
            kind: 'chunk',
            chunk: { ...chunk, batch: buffer.add(bytes) },
            bytes: keepBytes ? bytes : NO_BYTES,
          }
        : part;
    },
    flush: flush,
  });
};
