/** Makes a disk image of an image and its blobs, with a dm-verity tree if that is wanted. */
import { availableParallelism, tmpdir } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { blockMap } from '../../lib/device/block-map.js';
import { RafsError } from '../../lib/errors.js';
import { imageUuid, withUuid } from '../../lib/device/image-uuid.js';
import { planVerity, verityOptions, type VerityPlan } from '../../lib/device/verity.js';
import type { PackingName } from '../../lib/erofs/pclusters.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { blockImage, piecePool } from '../device/block-image.js';
import { compressedImage, type CompressedImageOptions } from '../device/compressed-image.js';
import { ImageWriter } from '../device/image-writer.js';
import { verityHasher } from '../device/verity-hasher.js';
import { byteReadable, type ByteReadable } from '../io/byte-stream.js';
import { openOutputTo } from '../io/open-output.js';
import type { Output } from '../io/output.js';
import { countingReader } from '../io/reader-at.js';
import { spoolDirectory } from '../io/spool.js';
import {
  openBlob,
  openTables,
  requirePlace,
  type BlobLocation,
  type BlobsInput,
} from './blob-location.js';
import { openBlobs, refuseOverwriting } from './open-blobs.js';
import { imageOf, type Image, type ImageInput } from './read-image.js';
import { newCounters, reporting, withSignal, type RunOptions } from './run-options.js';

/** Options of {@link imageDisk}. */
export interface ImageDiskOptions extends RunOptions {
  /** where the blobs are; default: in the image's file */
  blobs?: BlobsInput | undefined;
  /** EROFS's own compression; default: none, and data lie where the image maps them */
  compressor?: 'none' | PackingName | undefined;
  /** append the hash tree of dm-verity; default: false */
  verity?: boolean | undefined;
  /** bytes that are hashed before each block of the tree; default: none */
  veritySalt?: Uint8Array | undefined;
  /** put veritysetup's superblock before the tree, which says how it was made; default: false */
  veritySuperBlock?: boolean | undefined;
  /** give the image a UUID made of its content; default: it has none */
  uuid?: boolean | undefined;
  /** most threads to use, never more than there are cores; default: 4 */
  threads?: number | undefined;
}

/** Options of {@link exportImage}. */
export interface ExportImageOptions extends ImageDiskOptions {
  /** where the disk goes: a file, a FIFO, '-' for standard output, or a stream that is ended */
  output: string | Writable;
}

/** How to set up the hash tree of a disk. */
export interface DiskVerity {
  /** digest of the top of the tree, in hex */
  root: string;
  /** where the tree lies, and what it covers */
  plan: VerityPlan;
  /** the options that `veritysetup` takes */
  options: string;
}

/** What {@link exportImage} has made. */
export interface ExportedImage {
  /** path of the disk, if it lies in a file */
  output: string | undefined;
  /** bytes of the disk, with the hash tree */
  size: number;
  blockSize: number;
  /** blocks of the file system, without the hash tree */
  blocks: number;
  /** if that was wanted */
  verity: DiskVerity | undefined;
}

const DEFAULT_THREADS = 4;
const MOST_THREADS = 32;

/**
 * Writes an image as a disk that the kernel mounts as EROFS. A file gets its name only when it is
 * complete; runs of zeros in it take no space.
 *
 * @example
 * ```js
 * import { createImage, exportImage } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'disk.boot', blobDir: '.' });
 * const { blocks, verity } = await exportImage('disk.boot', {
 *   blobs: '.',
 *   output: 'layer.disk',
 *   verity: true,
 * });
 * console.log(blocks, verity?.root.length);
 * ```
 */
export const exportImage = async (
  input: ImageInput,
  options: ExportImageOptions,
): Promise<ExportedImage> => {
  const { output: target, blobs, signal, fsync, onProgress } = options;
  signal?.throwIfAborted();
  const output = await openOutputTo(target, { ...withSignal(signal), fsync });
  const counters = {
    ...newCounters(),
    get bytesOut() {
      return output.bytesWritten;
    },
  };
  let disk: Disk | undefined;
  try {
    return await reporting(onProgress, counters, async () => {
      const image = await imageOf(input);
      const place = await requirePlace(blobs, image);
      refuseOverwriting(target, image, place);
      disk = await openDisk(image, place, { ...options, counters });
      return await writeDisk(disk, output, options, imageUuid(image.image));
    });
  } catch (error) {
    await output.abandon();
    throw error;
  } finally {
    await disk?.close();
  }
};

/**
 * A Readable of the disk of an image. Its result has the root of the hash tree.
 *
 * @example
 * ```js
 * import { createWriteStream } from 'node:fs';
 * import { pipeline } from 'node:stream/promises';
 * import { createImage, imageDisk } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'streamed.boot', blobDir: '.' });
 * const disk = imageDisk('streamed.boot', { blobs: '.', verity: true });
 * await pipeline(disk, createWriteStream('streamed.disk'));
 * console.log((await disk.result).verity?.root.length);
 * ```
 */
export const imageDisk = (
  input: ImageInput,
  { signal, ...options }: ImageDiskOptions = {},
): ByteReadable<ExportedImage> =>
  byteReadable(
    ({ output, signal: stop }) => exportImage(input, { ...options, output, signal: stop }),
    signal,
  );

/** The disk to write. */
interface Disk {
  size: number;
  blockSize: number;
  parts: Readable;
  /** pool that parts may have their bytes from */
  pool?: BufferPool | undefined;
  close(): Promise<void>;
}

type DiskOptions = ExportImageOptions & { counters: { bytesIn: number } };

const openDisk = (image: Image, place: BlobLocation, options: DiskOptions): Promise<Disk> => {
  const { compressor = 'none', signal } = options;
  if (options.uuid && compressor !== 'none') {
    throw new RafsError('UNSUPPORTED', 'an image with EROFS compression cannot have a UUID');
  }
  if (compressor === 'none') return plainDisk(image, place, options);
  return compressedDisk(image, place, options, {
    packing: compressor,
    workers: widthOf(options) - 1, // this thread works, too
    directory: spoolsOf(options),
    ...withSignal(signal),
  });
};

const widthOf = ({ threads = DEFAULT_THREADS }: ImageDiskOptions): number =>
  Math.min(threads, MOST_THREADS, availableParallelism());

const spoolsOf = ({ output }: ExportImageOptions): string =>
  typeof output === 'string' ? spoolDirectory(output) : tmpdir();

const writeDisk = async (
  { size, blockSize, parts, pool }: Disk,
  output: Output,
  options: ExportImageOptions,
  uuid: Buffer,
): Promise<ExportedImage> => {
  const writer = new ImageWriter(output);
  writer.written = pool;
  const ended = withSignal(options.signal);
  const made = { blockSize, blocks: size / blockSize };
  if (!options.verity) {
    await pipeline(parts, writer, ended);
    return { output: await output.finish(), size, ...made, verity: undefined };
  }
  const plan = planVerity(size, blockSize, {
    salt: options.veritySalt,
    superBlock: options.veritySuperBlock ? uuid : undefined,
  });
  const hasher = verityHasher({ plan, threads: widthOf(options), directory: spoolsOf(options) });
  await pipeline(parts, hasher, writer, ended);
  const root = writer.root!; // set by now
  const verity = { root, plan, options: verityOptions(plan, root) };
  return { output: await output.finish(), size: plan.size, ...made, verity };
};

const plainDisk = async (
  from: Image,
  place: BlobLocation,
  { output, counters, uuid }: DiskOptions,
): Promise<Disk> => {
  const { bootstrap } = from;
  const image = uuid ? withUuid(from.image, imageUuid(from.image)) : from.image;
  const map = blockMap(bootstrap, image.length);
  const { size, blockSize } = map;
  // a stream of somebody else may keep what it is given
  const pool = typeof output === 'string' ? piecePool() : undefined;
  const parts = blockImage({
    bootstrap,
    image,
    map,
    open: async index => countingReader(await openBlob(bootstrap.blobs[index]!, place), counters),
    openTables: async index =>
      countingReader(await openTables(bootstrap.blobs[index]!, place, from), counters),
    pool,
  });
  return { size, blockSize, parts, pool, close: async () => undefined };
};

const compressedDisk = async (
  image: Image,
  place: BlobLocation,
  { counters }: DiskOptions,
  options: Pick<CompressedImageOptions, 'packing' | 'workers' | 'directory' | 'signal'>,
): Promise<Disk> => {
  const opened = await openBlobs(image, place, counters);
  const { blobs, tables } = opened;
  try {
    return await compressedImage({ bootstrap: image.bootstrap, blobs, tables, ...options });
  } finally {
    await opened.close();
  }
};
