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
  type MappedBlob,
} from '../../lib/device/block-map.js';
import type { BlobRecord, Bootstrap, StoredChunk } from '../../lib/bootstrap/bootstrap.js';
import { BufferPool } from '../../lib/memory/buffer-pool.js';
import { ChunkIndex } from '../../lib/bootstrap/v6/chunk-index.js';
import {
  isLegacyStargz,
  type ChunkInfo,
  type ChunkInfoTable,
} from '../../lib/blob/chunk-info-table.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { crc32c, digest, digesterName, prepareDigests } from '../../lib/crypto/digest.js';
import { located, RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { ChunkRecord } from '../../lib/layout/rafs-v6.js';
import { BlobBlocks } from '../read/blob-blocks.js';
import { ChunkReader, readChunkInfo } from '../read/blob-reader.js';
import type { RandomBytes } from '../io/reader-at.js';
import type { Batch } from '../stage.js';

/** Bytes of the image, in order. */
export interface DiskBytesPart {
  kind: 'bytes';
  bytes: Buffer;
}
/** Zeros between two block boundaries. */
export interface HolePart {
  kind: 'hole';
  size: number;
}
export type DiskPart = DiskBytesPart | HolePart;

export interface BlockImageOptions {
  bootstrap: Bootstrap;
  /** the bytes of the bootstrap */
  image: Buffer;
  map: BlockMap;
  /** Opens the bytes of a blob, by its index. They are closed after they have been read. */
  open: (blobIndex: number) => Promise<RandomBytes>;
  /** Opens the tables of a blob that is an original layer. Closed likewise. */
  openTables: (blobIndex: number) => Promise<RandomBytes>;
  /** buffers for the pieces of a tar, reused when the sink reports them written */
  pool?: BufferPool | undefined;
}

/** A pool for the pieces of an image, to be shared with its sink. */
export const piecePool = (): BufferPool => new BufferPool(PIECE_SIZE);

const PIECE_SIZE = 0x100000;
const NO_DIGEST = Buffer.alloc(32);

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
  const digests = new Digests(image, bootstrap);
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
  { blob, size }: MappedBlob,
  source: RandomBytes,
  pool?: BufferPool,
): AsyncIterable<DiskPart> {
  if (source.size !== blob.uncompressedSize) {
    throw new RafsError(
      'MISMATCH',
      `the tar has ${source.size} bytes, not ${blob.uncompressedSize}`,
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

/** Fails with UNSUPPORTED for blobs whose chunks are in no CI table. */
export const requireChunkTable = (blob: BlobRecord): void => {
  const at = { blob: blob.id };
  if (blob.features & BlobFeature.EXTERNAL) {
    throw new RafsError('UNSUPPORTED', 'an external blob is part of no block device', at);
  }
  if (isLegacyStargz(blob)) {
    throw new RafsError('UNSUPPORTED', 'an eStargz layer is part of no block device', at);
  }
};

/** The CI table of a blob; for an original layer it is stored separately. */
const tableOf = async (
  blob: BlobRecord,
  source: RandomBytes,
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
  { blob, offset, size }: MappedBlob,
  source: RandomBytes,
  table: ChunkInfoTable,
  digests: Digests,
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

/** What the bootstrap knows about the chunks of its blobs; holds 8 bytes for each. */
export class Digests {
  readonly #image: Buffer;
  readonly #bootstrap: Bootstrap;
  #index: ChunkIndex | undefined;

  constructor(image: Buffer, bootstrap: Bootstrap) {
    this.#image = image;
    this.#bootstrap = bootstrap;
  }

  /** A chunk as its blob describes it, with the bootstrap's digest; zeros if it has none. */
  chunk(blobIndex: number, index: number, info: ChunkInfo): StoredChunk {
    const { tables, blobs } = this.#bootstrap;
    this.#index ??= new ChunkIndex(this.#image, tables.chunk, blobs);
    const at = this.#index.find(blobIndex, index);
    const record = at === undefined ? undefined : ChunkRecord.decode(this.#image, at);
    if (record && record.uncompressedSize !== info.uncompressedSize) {
      const sizes = `${info.uncompressedSize} bytes, in the bootstrap ${record.uncompressedSize}`;
      throw new RafsError('MISMATCH', sizes);
    }
    const place: Omit<ChunkInfo, 'zran'> = info; // its place in a gzip stream is not needed here
    return { ...place, fileOffset: 0, blobIndex, index, digest: record?.digest ?? NO_DIGEST };
  }

  /** Fails with MISMATCH if the bytes are not the chunk's; needs `prepareDigests`. */
  verify(digester: number, { digest: due, crc32 }: StoredChunk, bytes: Buffer): void {
    if (!due.equals(NO_DIGEST)) {
      const name = digesterName(digester);
      const got = digest(name, bytes);
      if (got.equals(due)) return;
      throw new RafsError(
        'MISMATCH',
        `${name} is ${got.toString('hex')}, not ${due.toString('hex')}`,
      );
    }
    if (crc32 !== undefined && crc32c(bytes) !== crc32) {
      throw new RafsError('MISMATCH', `crc32 is not ${crc32.toString(16)}`);
    }
  }
}
