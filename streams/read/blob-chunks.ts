/**
 * blob-chunks: source of the chunks of one blob, unpacked, in the order in which they are stored.
 *
 * makes chunk
 * holds a batch, and what its ChunkReader holds
 */
import { Readable } from 'node:stream';
import { located } from '../../lib/errors.js';
import type { StoredChunk } from '../../lib/model/stored.js';
import { BatchBuilder, type Batch } from '../batch.js';
import type { ImagePart } from './blob-reader.js';
import type { ChunkReader } from './chunk-reader.js';

/** @param chunks ascending by index */
export const blobChunks = (reader: ChunkReader, chunks: Iterable<StoredChunk>): Readable =>
  Readable.from(batches(reader, chunks), { objectMode: true, highWaterMark: 2 });

async function* batches(
  reader: ChunkReader,
  chunks: Iterable<StoredChunk>,
): AsyncIterable<Batch<ImagePart>> {
  const batch = new BatchBuilder<ImagePart>();
  for (const chunk of chunks) {
    try {
      const read = reader.read(chunk);
      // most lie in a piece that is held: waiting would take longer than unpacking them
      const bytes = read instanceof Promise ? await read : read;
      batch.add({ kind: 'chunk', chunk, bytes }, bytes.length);
    } catch (error) {
      throw located(error, {
        blob: reader.blob.id,
        chunk: chunk.index,
        offset: chunk.compressedOffset,
      });
    }
    if (batch.isFull) yield batch.take();
  }
  if (!batch.isEmpty) yield batch.take();
}
