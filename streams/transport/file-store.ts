/** Files that an image is read from: those of a directory, or of an archive. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { allocate } from '../../lib/memory/allocate.js';
import { RafsError } from '../../lib/errors.js';
import { openReaderAt, type ReaderAt } from '../io/reader-at.js';
import type { BlobRange } from './source.js';

export interface FileStore {
  /** Size of a file; undefined if it is not there. */
  find(name: string): Promise<number | undefined>;
  open(name: string, range?: BlobRange): Promise<Readable>;
  close(): Promise<void>;
}

/** Most bytes of a document that is held in memory: of a manifest, config or index. */
const MOST_DOCUMENT = 0x400_0000;

/** A whole file, which must be a document of moderate size. */
export const readDocument = async (store: FileStore, name: string): Promise<Buffer> => {
  const size = await store.find(name);
  if (size === undefined) throw new RafsError('CORRUPT', 'a file is missing', { file: name });
  if (size > MOST_DOCUMENT) {
    throw new RafsError(
      'LIMIT',
      `a document of ${size} bytes exceeds the limit of ${MOST_DOCUMENT}`,
      {
        file: name,
      },
    );
  }
  return readWhole(await store.open(name), MOST_DOCUMENT, name);
};

/** All bytes of a stream; LIMIT if there are more than `most`. */
export const readWhole = async (
  stream: AsyncIterable<Buffer>,
  most: number,
  file: string,
): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of stream) {
    size += piece.length;
    if (size > most) throw new RafsError('LIMIT', `the file has more than ${most} bytes`, { file });
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
};

const PIECE_SIZE = 0x40000;

/** Bytes of a reader as a stream that reads one piece ahead. */
export const streamOf = (
  reader: ReaderAt,
  { offset, size, signal }: { offset: number; size: number; signal?: AbortSignal | undefined },
): Readable =>
  Readable.from(pieces(reader, offset, size), {
    objectMode: true, // a piece is one object, so that it is passed on as it is
    highWaterMark: 1,
    ...(signal ? { signal } : {}),
  });

async function* pieces(reader: ReaderAt, offset: number, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; at += PIECE_SIZE) {
    const count = Math.min(PIECE_SIZE, size - at);
    yield await reader.read(offset + at, count, allocate(count));
  }
}

/** The part of a file that a range means; CORRUPT for one outside it. */
export const within = (
  size: number,
  { offset = 0, length }: BlobRange,
  file: string,
): { offset: number; size: number } => {
  const rest = size - offset;
  const wanted = length ?? rest;
  if (offset >= 0 && wanted >= 0 && wanted <= rest) return { offset, size: wanted };
  throw new RafsError('CORRUPT', `${wanted} bytes at ${offset} extend past the end at ${size}`, {
    file,
  });
};

/** The files of a directory. */
export const directoryStore = (directory: string): FileStore => ({
  async find(name) {
    try {
      const found = await stat(path.join(directory, name));
      return found.isFile() ? found.size : undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  },
  async open(name, range = {}) {
    const file = path.join(directory, name);
    const reader = await openReaderAt(file);
    try {
      const stream = streamOf(reader, {
        ...within(reader.size, range, file),
        signal: range.signal,
      });
      stream.once('close', () => void reader.close());
      return stream;
    } catch (error) {
      await reader.close();
      throw error;
    }
  },
  async close() {},
});
