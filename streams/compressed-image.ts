/**
 * An image's content as one EROFS image that is compressed by EROFS's own means: all data are
 * packed first, since what comes before them says where they lie.
 *
 * holds the tree and the metadata of the image, and what file-packer holds
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Bootstrap } from '../lib/bootstrap.js';
import { prepareCompressors } from '../lib/compress.js';
import {
  BLOCK_SIZE,
  encodeMetadata,
  PACKINGS,
  Pieces,
  planCompressed,
  type PackingName,
} from '../lib/compressed-erofs.js';
import { prepareDigests } from '../lib/digest.js';
import { loadImage } from '../lib/load-tree.js';
import type { DiskPart } from './block-image.js';
import { blobReader } from './blob-reader.js';
import { chunkVerifier } from './chunk-verifier.js';
import { filePacker } from './file-packer.js';
import type { RandomBytes } from './random-bytes.js';
import { Spool } from './spool.js';
import type { Batch } from './stage.js';

export interface CompressedImageOptions {
  bootstrap: Bootstrap;
  /** by blob index; they stay open */
  blobs: ReadonlyMap<number, RandomBytes>;
  /** what has the tables of blobs that are layers as they were, by blob index */
  tables?: ReadonlyMap<number, RandomBytes>;
  packing: PackingName;
  /** where the spool makes its file, if it needs one */
  directory: string;
  signal?: AbortSignal;
}

export interface CompressedImage {
  /** bytes in all, whole blocks */
  size: number;
  blockSize: number;
  /** To be read once. */
  parts: Readable;
  close(): Promise<void>;
}

/** Packs everything; fails as blob-reader and chunk-verifier do, and with LIMIT over 16 TiB. */
export const compressedImage = async ({
  bootstrap,
  blobs,
  tables = new Map(),
  packing,
  directory,
  signal,
}: CompressedImageOptions): Promise<CompressedImage> => {
  await Promise.all([prepareCompressors(), prepareDigests()]);
  const { tree } = loadImage(bootstrap);
  const pieces = new Pieces(PACKINGS[packing].pieceSize);
  const spool = new Spool(directory, SPOOL_MEMORY);
  try {
    await pipeline(
      blobReader({ bootstrap, blobs, tables }),
      chunkVerifier({ bootstrap }),
      filePacker({ tree, packing, pieces, spool }),
      { ...(signal ? { signal } : {}) },
    );
    const plan = planCompressed(tree, pieces, packing);
    return {
      size: plan.size,
      blockSize: BLOCK_SIZE,
      parts: Readable.from(batches(encodeMetadata(plan), spool), {
        objectMode: true,
        highWaterMark: 2,
      }),
      close: () => spool.close(),
    };
  } catch (error) {
    await spool.close();
    throw error;
  }
};

async function* batches(metadata: Buffer, spool: Spool): AsyncIterable<Batch<DiskPart>> {
  for (let at = 0; at < metadata.length; at += PIECE_SIZE) {
    yield [{ kind: 'bytes', bytes: metadata.subarray(at, at + PIECE_SIZE) }];
  }
  for await (const bytes of spool.read()) yield [{ kind: 'bytes', bytes }];
}

const PIECE_SIZE = 0x100000;
const SPOOL_MEMORY = 0x400000;
