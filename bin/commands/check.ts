/** Verifies a bootstrap and, if its blobs are available, everything in them. */
import type { RafsVersion } from '../../lib/model/version.js';
import { pipeline } from 'node:stream/promises';
import { Writable } from 'node:stream';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { chunkLine, inodeLine, loadedText, shown, validText } from '../console/image-text.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { verify } from '../../lib/bootstrap/verify.js';
import { checkBlob, compareChunks, type CheckedBlob } from '../../streams/read/blob-checker.js';
import { blobReader, contentPool, type ImagePart } from '../../streams/read/blob-reader.js';
import { chunkVerifier } from '../../streams/read/chunk-verifier.js';
import type { ReaderAt } from '../../streams/io/reader-at.js';
import type { Batch } from '../../streams/batch.js';
import {
  backendLocation,
  openBlob,
  openTables,
  readConfig,
  type BackendValues,
  type BlobLocation,
} from '../../streams/image/blob-location.js';
import { TextBuffer, type CommandIo } from '../console/text-buffer.js';
import { readImage, type Image } from '../../streams/image/read-image.js';

export interface CheckOptions {
  /** a bootstrap, or a blob with one inlined */
  bootstrap: string;
  /** directory of blobs, named by their ids: their data are compared with the bootstrap */
  blobDir?: string;
  /** configuration file; the blobs it leads to are read if it turns validation on */
  config?: string;
  /** a storage of blobs, whose data are read too */
  backend?: BackendValues;
  verbose?: boolean;
  /** blobs of `config`, and data beside an inlined bootstrap, may be read; default: true */
  blobsAccessible?: boolean;
}

/** What `--output-json` writes about a loaded image. */
export interface ImageResult {
  bootstrap: string;
  blobs: string[];
  fsVersion: RafsVersion;
  compressor: Compressor;
}

export const check = async (options: CheckOptions, io: CommandIo): Promise<ImageResult> => {
  const { bootstrap: path, verbose = false } = options;
  const image = await readImage(path);
  const { bootstrap } = image;
  io.log.info(loadedText(bootstrap));
  await prepareDigests();
  // everything is verified before anything is printed; nothing is kept in between
  for (const visit of verify(bootstrap)) void visit;
  const place = await blobLocation(options, image);
  if (place) await checkData(image, place, io);

  const out = new TextBuffer(io);
  if (verbose) {
    for (const visit of verify(bootstrap)) {
      await out.write(inodeLine(bootstrap, visit));
      if (visit.inode.type !== 'file') continue;
      for (const chunk of bootstrap.chunks(visit.inode)) await out.write(chunkLine(chunk));
    }
  }
  await out.write(validText(bootstrap));
  await out.flush();
  return imageResult(path, bootstrap);
};

const imageResult = (path: string, bootstrap: Bootstrap): ImageResult => ({
  bootstrap: path,
  blobs: bootstrap.blobs.map(({ id }) => shown(id)),
  fsVersion: bootstrap.version,
  compressor: bootstrap.compressor,
});

/** Where to read blobs from; undefined if they are not to be read. */
const blobLocation = async (
  { blobDir, config, backend, blobsAccessible = true }: CheckOptions,
  { inlined, path }: Image,
): Promise<BlobLocation | undefined> => {
  const storage = backend && (await backendLocation(backend));
  if (storage) return storage;
  if (blobDir !== undefined) return { blobDir };
  if (config !== undefined) {
    const { validate, ...place } = await readConfig(config);
    if (validate && blobsAccessible) return place;
  }
  return inlined && blobsAccessible ? { blobFile: path } : undefined;
};

const checkData = async (image: Image, place: BlobLocation, { log }: CommandIo): Promise<void> => {
  await Promise.all([prepareDigests(), prepareCompressors()]);
  const { bootstrap } = image;
  const sources = new Map<number, ReaderAt>();
  const tables = new Map<number, ReaderAt>();
  const checked = new Map<number, CheckedBlob>();
  try {
    for (const blob of bootstrap.blobs) {
      const reason = unreadable(blob.features);
      if (reason) {
        log.warn(`data of blob ${blob.id} are not verified: ${reason}`);
        continue;
      }
      const isLayer = (blob.features & BlobFeature.SEPARATE) !== 0;
      const isElsewhere = isLayer || (blob.features & BlobFeature.EXTERNAL) !== 0;
      const missing = (what: string): void =>
        log.info(`${what} of blob ${blob.id} are not verified: there is no such file`);
      if (isLayer) {
        const source = await ifThere(openTables(blob, place, image));
        if (source) tables.set(blob.index, source);
        else missing('tables');
      }
      // chunks of a gzip layer cannot be found without its tables; the file with the inlined
      // bootstrap is neither a layer nor an external blob
      const isReadable = tables.has(blob.index) || !(blob.features & BlobFeature.ZRAN);
      const isHere = !isElsewhere || place.blobFile !== image.path;
      const source = isReadable && isHere ? await ifThere(openBlob(blob, place)) : undefined;
      if (source) sources.set(blob.index, source);
      else missing('data');
      if (source && isElsewhere) checkSize(blob, source);
    }
    for (const blob of bootstrap.blobs) {
      const isLayer = (blob.features & BlobFeature.SEPARATE) !== 0;
      const source = (isLayer ? tables : sources).get(blob.index);
      if (source) checked.set(blob.index, await checkBlob(source, blob));
    }
    compareChunks(bootstrap, checked);

    const pool = contentPool(bootstrap);
    let count = 0;
    let size = 0;
    const counter = new Writable({
      objectMode: true,
      write(batch: Batch<ImagePart>, _encoding, done) {
        for (const part of batch) {
          if (part.kind !== 'chunk') continue;
          count += 1;
          size += part.bytes.length;
          pool.releaseBefore(part.bytes);
        }
        done();
      },
    });
    const reader = blobReader({ bootstrap, blobs: sources, tables, distinct: true, pool });
    await pipeline(reader, chunkVerifier({ bootstrap }), counter);
    log.info(`verified ${count} chunks, ${size} bytes, in ${sources.size} blobs`);
  } finally {
    for (const source of [...sources.values(), ...tables.values()]) await source.close();
  }
};

/** What `opening` opens; undefined if there is no such file. */
const ifThere = async (opening: Promise<ReaderAt>): Promise<ReaderAt | undefined> => {
  try {
    return await opening;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
};

/** A layer or an external blob is nothing but data: its size must be what the image says. */
const checkSize = ({ id, compressedSize }: BlobRecord, { size }: ReaderAt): void => {
  if (size === compressedSize) return;
  throw new RafsError('MISMATCH', `it has ${size} bytes, not ${compressedSize}`, {
    blob: id,
  });
};

/** Why the data of a blob cannot be verified; undefined if they can. */
const unreadable = (features: number): string | undefined => {
  if (features & BlobFeature.TARFS) return 'there are no digests of a tar';
  return undefined;
};
