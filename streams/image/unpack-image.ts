/** Turns an image and its blobs back into a tar. */
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { loadedText } from '../../lib/bootstrap/super-flags.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import type { BytesPart } from '../../lib/model/parts.js';
import type { Batch } from '../batch.js';
import { meter } from '../build/meter.js';
import { byteReadable, type ByteReadable } from '../io/byte-stream.js';
import { lingerFifo } from '../io/fifo.js';
import { openOutputTo } from '../io/open-output.js';
import type { Output } from '../io/output.js';
import { blobReader, contentPool } from '../read/blob-reader.js';
import { chunkVerifier } from '../read/chunk-verifier.js';
import { tarMux, type OwnerNames } from '../read/tar-mux.js';
import { requirePlace, type BlobsInput } from './blob-location.js';
import { openBlobs, refuseExternal, refuseOverwriting, type OpenBlobs } from './open-blobs.js';
import { imageOf, type Image, type ImageInput } from './read-image.js';
import { newCounters, reporting, SILENT, withSignal, type RunOptions } from './run-options.js';

/** Options of {@link imageTar}. */
export interface ImageTarOptions extends RunOptions {
  /** where the blobs are; default: in the image's file */
  blobs?: BlobsInput | undefined;
  /** names of users and groups by id; default: the tar has none */
  names?: OwnerNames | undefined;
  /** put a '/' before the targets of hardlinks, as nydus-image does; default: true */
  slashedLinks?: boolean | undefined;
}

/** Options of {@link unpackImage}. */
export interface UnpackImageOptions extends ImageTarOptions {
  /** where the tar goes: a file, a FIFO, '-' for standard output, or a stream that is ended */
  output: string | Writable;
}

/** What {@link unpackImage} has made. */
export interface UnpackedImage {
  /** path of the tar, if it lies in a file */
  output: string | undefined;
  /** bytes that were read from blobs */
  bytesIn: number;
  /** bytes of the tar */
  bytesOut: number;
  /** files, directories and other entries of the image, without the root */
  entryCount: number;
}

/**
 * Writes the tar of an image. Every chunk is verified before it is written; if one is wrong, no
 * file stays.
 *
 * @example
 * ```js
 * import { createImage, unpackImage } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'packed.boot', blobDir: '.' });
 * const { entryCount } = await unpackImage('packed.boot', { blobs: '.', output: 'again.tar' });
 * console.log(entryCount);
 * ```
 */
export const unpackImage = async (
  input: ImageInput,
  options: UnpackImageOptions,
): Promise<UnpackedImage> => {
  const { output: target, blobs, signal, fsync, onProgress, log = SILENT } = options;
  signal?.throwIfAborted();
  // first of all, so that the reader of a FIFO sees its end if anything fails
  const output = await openOutputTo(target, { ...withSignal(signal), fsync });
  const counters = newCounters();
  try {
    return await reporting(onProgress, counters, async () => {
      const image = await imageOf(input);
      log.info(loadedText(image.bootstrap));
      const place = await requirePlace(blobs, image);
      refuseExternal(image, place, 'the option blobs');
      refuseOverwriting(target, image, place);
      const opened = await openBlobs(image, place, counters);
      try {
        await writeTar(image, opened, output, { ...options, counters });
      } finally {
        await opened.close();
      }
      const path = await output.finish();
      const { bytesIn, bytesOut, files } = counters;
      return { output: path, bytesIn, bytesOut, entryCount: files };
    });
  } catch (error) {
    if (typeof target === 'string') await lingerFifo(target);
    await output.abandon();
    throw error;
  }
};

/**
 * A Readable of the tar of an image, whose every chunk is verified before it comes.
 *
 * @example
 * ```js
 * import { createWriteStream } from 'node:fs';
 * import { pipeline } from 'node:stream/promises';
 * import { createImage, imageTar } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'read.boot', blobDir: '.' });
 * const tar = imageTar('read.boot', { blobs: '.' });
 * await pipeline(tar, createWriteStream('read.tar'));
 * console.log((await tar.result).entryCount);
 * ```
 */
export const imageTar = (
  input: ImageInput,
  { signal, ...options }: ImageTarOptions = {},
): ByteReadable<UnpackedImage> =>
  byteReadable(
    ({ output, signal: stop }) => unpackImage(input, { ...options, output, signal: stop }),
    signal,
  );

const writeTar = async (
  { bootstrap }: Image,
  { blobs, tables }: OpenBlobs,
  output: Output,
  {
    output: target,
    names,
    slashedLinks = true,
    signal,
    counters,
  }: UnpackImageOptions & { counters: ReturnType<typeof newCounters> },
): Promise<void> => {
  await prepareDigests();
  // a stream of somebody else may keep what it is given
  const pool = typeof target === 'string' ? contentPool(bootstrap) : undefined;
  await pipeline(
    blobReader({ bootstrap, blobs, tables, rootless: true, pool }),
    chunkVerifier({ bootstrap }),
    meter(counters),
    tarMux({ ...(names ? { names } : {}), slashedLinks }),
    sink(output, pool, counters),
    withSignal(signal),
  );
};

/** @param pool that bytes may come from; is told which of them have been written */
const sink = (
  output: Output,
  pool: BufferPool | undefined,
  counters: { bytesOut: number },
): Writable =>
  new Writable({
    objectMode: true,
    highWaterMark: 2,
    write(batch: Batch<BytesPart>, _encoding, done) {
      output
        .write(batch.map(({ bytes }) => bytes))
        .then(() => {
          counters.bytesOut = output.bytesWritten;
          if (pool) for (const { bytes } of batch) pool.releaseBefore(bytes);
        })
        .then(() => done(), done);
    },
  });
