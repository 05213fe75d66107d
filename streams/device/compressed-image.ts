/**
 * An image's content as one EROFS image that uses EROFS's own compression. All data is packed
 * first, because the metadata in front of it says where it lies.
 *
 * holds the tree, what file-packer holds, 4 MiB of each spool, and a window of the metadata
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { ByteQueue } from '../../lib/memory/byte-queue.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { emitMetadata } from '../../lib/erofs/emit.js';
import { planCompressed, type CompressedPlan } from '../../lib/erofs/plan.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { loadImage } from '../../lib/image/load-image.js';
import { BLOCK_SIZE, PACKINGS, PclusterMap, type PackingName } from '../../lib/erofs/pclusters.js';
import type { DiskPart } from './block-image.js';
import { blobReader } from '../read/blob-reader.js';
import { chunkVerifier } from '../read/chunk-verifier.js';
import { filePacker } from './file-packer.js';
import type { ReaderAt } from '../io/reader-at.js';
import { Spool } from '../io/spool.js';
import type { Batch } from '../batch.js';

export interface CompressedImageOptions {
  bootstrap: Bootstrap;
  /** by blob index; they stay open */
  blobs: ReadonlyMap<number, ReaderAt>;
  /** the tables of blobs that are original layers, by blob index */
  tables?: ReadonlyMap<number, ReaderAt>;
  packing: PackingName;
  /** compression threads, if there is enough work for them */
  workers: number;
  /** where spools create their files, which together are as large as the image */
  directory: string;
  signal?: AbortSignal;
}

export interface CompressedImage {
  /** total bytes, in whole blocks */
  size: number;
  blockSize: number;
  /** Can be read once. */
  parts: Readable;
  close(): Promise<void>;
}

/** Packs everything; fails as blob-reader and chunk-verifier do, and with LIMIT above 16 TiB. */
export const compressedImage = async ({
  bootstrap,
  blobs,
  tables = new Map(),
  packing,
  workers,
  directory,
  signal,
}: CompressedImageOptions): Promise<CompressedImage> => {
  await Promise.all([prepareCompressors(), prepareDigests()]);
  const { tree } = loadImage(bootstrap);
  const pieces = new PclusterMap(tree, packing);
  const blocks = new Spool(directory, SPOOL_MEMORY);
  const tails = new Spool(directory, SPOOL_MEMORY);
  const close = async (): Promise<void> => {
    await blocks.close();
    await tails.close();
  };
  try {
    await pipeline(
      blobReader({ bootstrap, blobs, tables }),
      chunkVerifier({ bootstrap }),
      filePacker({ tree, packing, pieces, blocks, tails, workers }),
      { ...(signal ? { signal } : {}) },
    );
    const plan = planCompressed(tree, pieces, PACKINGS[packing].algorithm);
    const parts = Readable.from(batches(plan, tails, blocks), {
      objectMode: true,
      highWaterMark: 2,
    });
    return { size: plan.size, blockSize: BLOCK_SIZE, parts, close };
  } catch (error) {
    await close();
    throw error;
  }
};

async function* batches(
  plan: CompressedPlan,
  tails: Spool,
  blocks: Spool,
): AsyncIterable<Batch<DiskPart>> {
  const queue = new ByteQueue();
  const more = tails.read()[Symbol.asyncIterator]();
  for (const { bytes, tails } of emitMetadata(plan)) {
    for (const { at, size } of tails) {
      while (queue.length < size) {
        const next = await more.next();
        if (next.done) throw new Error(`the tails of files end ${size - queue.length} bytes early`);
        queue.push(next.value);
      }
      queue.take(size).copy(bytes, at);
    }
    yield [{ kind: 'bytes', bytes }];
  }
  for await (const bytes of blocks.read()) yield [{ kind: 'bytes', bytes }];
}

const SPOOL_MEMORY = 0x400000;
