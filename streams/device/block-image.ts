/**
 * block-image: source of a disk image: the bootstrap, and each blob's uncompressed data where the
 * device table maps it.
 *
 * makes bytes and hole
 * holds the bootstrap, a CI table, and a chunk or two reads of 1 MiB; for a gzip layer 16 MiB
 *
 * A tar is copied unchanged. Of other blobs, all chunks are unpacked, whether or not this image
 * uses them, and verified if the image knows their digests.
 */
import { Readable } from 'node:stream';
import {
  endOfChunk,
  requireGap,
  type BlockMap,
  type DeviceBlob,
} from '../../lib/device/block-map.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import { BufferPool } from '../../lib/memory/buffer-pool.js';
import type { ChunkInfoTable } from '../../lib/blob/chunk-info-table.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { located, RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { HolePart } from '../../lib/model/parts.js';
import { BlobBlocks } from '../read/blob-blocks.js';
import { ChunkReader } from '../read/chunk-reader.js';
import { readChunkInfo, requireChunkTable } from '../read/chunk-info.js';
import type { ReaderAt } from '../io/reader-at.js';
import type { Batch } from '../batch.js';
import { ChunkLookup } from './chunk-lookup.js';

/** Bytes of the image, in order. */
export interface DiskBytesPart {
  kind: 'bytes';
  bytes: Buffer;
}
/** A hole lies between two block boundaries. */
export type DiskPart = DiskBytesPart | HolePart;

export interface BlockImageOptions {
  bootstrap: Bootstrap;
  /** the bytes of the bootstrap */
  image: Buffer;
  map: BlockMap;
  /** Opens the bytes of a blob, by its index. They are closed after they have been read. */
  open: (blobIndex: number) => Promise<ReaderAt>;
  /** Opens the tables of a blob that is an original layer. Closed likewise. */
  openTables: (blobIndex: number) => Promise<ReaderAt>;
  /** buffers for the pieces of a tar, reused when the sink reports them written */
  pool?: BufferPool | undefined;
}

/** A pool for the pieces of an image, to be shared with its sink. */
export const piecePool = (): BufferPool => new BufferPool(PIECE_SIZE);

const PIECE_SIZE = 0x100000;

export const blockImage = (options: BlockImageOptions): Readable =>
  Readable.from(batches(options), { objectMode: true, highWaterMark: 2 });

async function* batches(options: BlockImageOptions): AsyncIterable<Batch<DiskPart>> {
  let batch: DiskPart[] = [];
  let size = 0;
  for await (const part of parts(options)) {
    batch.push(part);
    if (part.kind === 'bytes') size += part.bytes.length;
    if (size < PIECE_SIZE / 2) continue;
    yield batch;
    batch = [];
    size = 0;
  }
  if (batch.length > 0) yield batch;
}

async function* parts(options: BlockImageOptions): AsyncIterable<DiskPart> {
  const { bootstrap, image, map, open, openTables, pool } = options;
  await Promise.all([prepareCompressors(), prepareDigests()]);
  for (let at = 0; at < image.length; at += PIECE_SIZE) {
    yield { kind: 'bytes', bytes: image.subarray(at, at + PIECE_SIZE) };
  }
  const digests = new ChunkLookup(image, bootstrap);
  let end = image.length;
  for (const mapped of map.blobs) {
    const { blob, offset } = mapped;
    if (offset > end) yield { kind: 'hole', size: offset - end };
    const source = await open(blob.index);
    try {
      if (bootstrap.tarfs) {
        yield* tarOf(mapped, source, pool);
      } else {
        const table = await tableOf(blob, source, openTables);
        yield* chunksOf(mapped, source, table, digests);
      }
    } catch (error) {
      throw located(error, { blob: blob.id });
    } finally {
      await source.close();
    }
    end = offset + mapped.size;
  }
}

/** The whole blocks of a tar. */
async function* tarOf(
  { blob, size }: DeviceBlob,
  source: ReaderAt,
  pool?: BufferPool,
): AsyncIterable<DiskPart> {
  if (source.size !== blob.uncompressedSize) {
    throw new RafsError(
      'MISMATCH',
      `expected a tar of ${blob.uncompressedSize} bytes, got ${source.size}`,
    );
  }
  const read = (at: number): Promise<Buffer> | undefined => {
    if (at >= size) return undefined;
    const count = Math.min(PIECE_SIZE, size - at);
    const bytes = source.read(at, count, pool?.take().subarray(0, count));
    bytes.catch(() => undefined); // reported when its turn comes, if it does
    return bytes;
  };
  let next = read(0);
  for (let at = PIECE_SIZE; next; at += PIECE_SIZE) {
    const bytes = await next;
    next = read(at);
    yield { kind: 'bytes', bytes };
  }
}

/** The CI table of a blob; for an original layer it is stored separately. */
const tableOf = async (
  blob: BlobRecord,
  source: ReaderAt,
  openTables: BlockImageOptions['openTables'],
): Promise<ChunkInfoTable> => {
  requireChunkTable(blob);
  if (!(blob.features & BlobFeature.SEPARATE)) return readChunkInfo(source, blob);
  const tables = await openTables(blob.index);
  try {
    return await readChunkInfo(tables, blob);
  } finally {
    await tables.close();
  }
};

/** The chunks of a blob, each at its uncompressed offset. */
async function* chunksOf(
  { blob, offset, size }: DeviceBlob,
  source: ReaderAt,
  table: ChunkInfoTable,
  digests: ChunkLookup,
): AsyncIterable<DiskPart> {
  const reader = new ChunkReader(blob, source, new BlobBlocks(), { table });
  let end = 0;
  for (let index = 0; index < table.count; index++) {
    const info = table.chunk(index);
    try {
      const next = endOfChunk(info, end, size);
      yield* zeros(offset + end, offset + info.uncompressedOffset);
      const chunk = digests.chunk(blob.index, index, info);
      const bytes = await reader.read(chunk);
      digests.verify(blob.digester, chunk, bytes);
      yield { kind: 'bytes', bytes };
      end = next;
    } catch (error) {
      throw located(error, { chunk: index, offset: info.compressedOffset });
    }
  }
  requireGap(size - end);
  yield* zeros(offset + end, offset + size);
}

const ZEROS = Buffer.alloc(0x10000);

/**
 * Zeros between two offsets of the device, which need not be block-aligned. Pieces end where an
 * image can have holes.
 */
function* zeros(from: number, to: number): Iterable<DiskPart> {
  for (let at = from; at < to;) {
    const bytes = ZEROS.subarray(0, Math.min(to - at, ZEROS.length - (at % ZEROS.length)));
    yield { kind: 'bytes', bytes };
    at += bytes.length;
  }
}
