/** Rows of a database of chunk dictionaries, for tests that do not care where they are from. */
import { createHash } from 'node:crypto';
import { ChunkRows, type ChunkRow } from '../../../lib/chunkdict/rows.js';

export const digestOf = (content: string | number): Buffer =>
  createHash('sha256').update(`content ${content}`).digest();

export const chunkRow = (more: Partial<ChunkRow> & { content?: string | number }): ChunkRow => {
  const { content = 0, ...rest } = more;
  return {
    image: 'app',
    version: 'v1',
    blobId: 'b'.repeat(64),
    digest: digestOf(content),
    crc32: 1,
    compressedSize: 4096,
    uncompressedSize: 4096,
    compressedOffset: 0,
    uncompressedOffset: 0,
    ...rest,
  };
};

export const rowsOf = (list: Iterable<ChunkRow>): ChunkRows => {
  const rows = new ChunkRows();
  for (const row of list) rows.add(row);
  return rows;
};
