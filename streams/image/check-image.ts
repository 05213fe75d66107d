/** Verifies an image and, where its blobs are available, everything in them. */
import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { isDigestName } from '../../lib/blob/blob-digest.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { ChunkUses } from '../../lib/bootstrap/chunk-uses.js';
import { loadedText } from '../../lib/bootstrap/super-flags.js';
import { verify } from '../../lib/bootstrap/verify.js';
import { walk } from '../../lib/bootstrap/walk.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests, sha256 } from '../../lib/crypto/digest.js';
import { contextOf, located, RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import { shown } from '../../lib/model/names.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import type { RafsVersion } from '../../lib/model/version.js';
import { countingReader, type ReaderAt } from '../io/reader-at.js';
import { contentPool } from '../read/blob-reader.js';
import { checkData, checkFileName, type OpenedBlob } from '../read/data-checker.js';
import {
  isOwnPlace,
  openBlob,
  openTables,
  placeOf,
  type BlobLocation,
  type BlobsInput,
} from './blob-location.js';
import { fileIdOf, imageOf, openImageFile, type Image, type ImageInput } from './read-image.js';
import { newCounters, reporting, SILENT, type Messages, type RunOptions } from './run-options.js';

/** Options of {@link checkImage}. */
export interface CheckImageOptions extends RunOptions {
  /** where the blobs are, whose data are then compared with the image; default: in the image's file */
  blobs?: BlobsInput | undefined;
  /** blobs may be missing where `blobs` says; default: they must be there */
  partial?: boolean | undefined;
  /** the sha256 of the bootstrap's file, in hex; default: its name, if that can be one */
  sha256?: string | undefined;
  /** names say nothing: ids of blobs may have been given, and are not compared with their sha256 */
  anyBlobId?: boolean | undefined;
  /** fail if a blob is missing, or if no digest says that a file is unchanged */
  strict?: boolean | undefined;
}

/** What {@link checkImage} has found. */
export interface CheckedImage {
  fsVersion: RafsVersion;
  compressor: Compressor;
  /** ids of all blobs, by blob index */
  blobs: readonly string[];
  /** of these, the ids of those whose data were read and are right */
  verifiedBlobs: readonly string[];
  /** chunks that were verified, each once */
  chunks: number;
  /** their bytes, plain */
  bytes: number;
  /** names in the tree, with the root */
  entryCount: number;
}

/** Entries between two looks at the signal. */
const ENTRIES_AT_ONCE = 0x1000;

/**
 * Verifies an image: every inode, name, chunk and table, in v5 the digests of inodes, and every
 * chunk of the blobs that are there. Files that are named by their sha256 are compared with it: each
 * blob with its id, and the bootstrap. Fails with CORRUPT or MISMATCH at the first thing that is
 * wrong, and says where that is.
 *
 * @example
 * ```js
 * import { checkImage, createImage } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'checked.boot', blobDir: '.' });
 * const { chunks, verifiedBlobs } = await checkImage('checked.boot', { blobs: '.' });
 * console.log(chunks, verifiedBlobs.length);
 * ```
 */
export const checkImage = async (
  input: ImageInput,
  options: CheckImageOptions = {},
): Promise<CheckedImage> => {
  const { blobs, signal, onProgress, log = SILENT, strict = false, anyBlobId } = options;
  signal?.throwIfAborted();
  const image = await imageOf(input);
  const { bootstrap } = image;
  log.info(loadedText(bootstrap));
  await prepareDigests();
  const counters = newCounters();
  // an image that is wrong has one message, that of its error
  const later: (() => void)[] = [];
  const doubts = strict ? REFUSED : postponed(log, later);
  return reporting(onProgress, counters, async () => {
    const uses = new ChunkUses(bootstrap);
    for (const visit of verify(bootstrap, chunk => uses.add(chunk))) {
      void visit; // nothing is kept
      counters.files += 1;
      if (counters.files % ENTRIES_AT_ONCE > 0) continue;
      await turn();
      signal?.throwIfAborted();
    }
    const place = await placeOf(blobs, image);
    await checkOwnFile(image, options.sha256, {
      place,
      doubts: anyBlobId && !strict ? SILENT : doubts,
    });
    const check = new DataCheck(image, place, { ...options, counters, doubts });
    const data = await check.run(uses).catch((error: unknown) => {
      throw withPath(error, bootstrap);
    });
    for (const say of later) say();
    if (place) {
      const { chunks, bytes, verifiedBlobs } = data;
      log.info(`verified ${chunks} chunks, ${bytes} bytes, in ${verifiedBlobs.length} blobs`);
    }
    return {
      fsVersion: bootstrap.version,
      compressor: bootstrap.compressor,
      blobs: bootstrap.blobs.map(({ id }) => shown(id)),
      ...data,
      entryCount: counters.files,
    };
  });
};

/** Keeps messages until the work is done. */
const postponed = (log: Messages, later: (() => void)[]): Messages => ({
  info: message => void later.push(() => log.info(message)),
  warn: message => void later.push(() => log.warn(message)),
});

/** Takes each doubt for an error. */
const REFUSED: Messages = {
  info(why) {
    throw new RafsError('MISMATCH', why);
  },
  warn(why) {
    throw new RafsError('MISMATCH', why);
  },
};

/** Compares the file of the image with its sha256, if that is known. */
const checkOwnFile = async (
  image: Image,
  given: string | undefined,
  { place, doubts }: { place: BlobLocation | undefined; doubts: Messages },
): Promise<void> => {
  const { path, inlined, bootstrap } = image;
  const name = inlined ? fileIdOf(path) : basename(path);
  const isBlobName = bootstrap.blobs.some(({ id, metaFile, metaDigest }) =>
    [id, metaFile, metaDigest.toString('hex')].includes(name),
  );
  // it is compared with its id where it is read as a blob
  if (given === undefined && inlined && isBlobName && place && readsFile(place, image)) return;
  // a bootstrap may be named like its blob, as `merge` wants it
  const isNamed = isDigestName(name) && (inlined || !isBlobName);
  const due = given ?? (isNamed ? name : undefined);
  if (due === undefined) {
    doubts.info(`names, owners and times are not proven: ${name} is not named by its sha256`);
    return;
  }
  const at = { file: path };
  if (image.fileSize === image.image.length) {
    const got = sha256(image.image).toString('hex');
    if (got === due) return;
    throw new RafsError('MISMATCH', `expected sha256 ${due}, got ${got}`, at);
  }
  // a pipe has been read, and is not to be read again
  if (!image.bytes && !(await stat(path)).isFile()) return;
  const source = await openImageFile(image);
  try {
    await checkFileName(source, due, at);
  } finally {
    await source.close();
  }
};

/** Whether the blob of an image with an inlined bootstrap is read from the file of the image. */
const readsFile = (place: BlobLocation, image: Image): boolean =>
  isOwnPlace(place, image) ||
  (place.blobDir !== undefined && resolve(place.blobDir) === resolve(dirname(image.path)));

/** Adds the path of a file to an error about a chunk. */
const withPath = (error: unknown, bootstrap: Bootstrap): unknown => {
  const { blob, chunk: index, path: known } = contextOf(error);
  const blobIndex = bootstrap.blobs.findIndex(({ id }) => id === blob);
  if (!(error instanceof RafsError) || known !== undefined || index === undefined) return error;
  for (const { inode, path, repeated } of walk(bootstrap)) {
    if (inode.type !== 'file' || repeated) continue;
    for (const chunk of bootstrap.chunks(inode)) {
      if (chunk.index === index && chunk.blobIndex === blobIndex) {
        return located(error, { path: `/${path}` });
      }
    }
  }
  return error;
};

type CheckedBlobs = Pick<CheckedImage, 'verifiedBlobs' | 'chunks' | 'bytes'>;

/** Compares the blobs that are there with the image. */
class DataCheck {
  readonly #image: Image;
  readonly #place: BlobLocation | undefined;
  readonly #partial: boolean;
  readonly #counters: { bytesIn: number };
  readonly #options: CheckImageOptions & { doubts: Messages };

  constructor(
    image: Image,
    place: BlobLocation | undefined,
    {
      counters,
      ...options
    }: CheckImageOptions & { doubts: Messages; counters: { bytesIn: number } },
  ) {
    this.#image = image;
    this.#place = place;
    this.#counters = counters;
    this.#options = options;
    // nobody has asked for what is not in the image's own file
    this.#partial = options.partial || (place !== undefined && isOwnPlace(place, image));
  }

  async run(uses: ChunkUses): Promise<CheckedBlobs> {
    const { bootstrap } = this.#image;
    const { signal, doubts, strict, anyBlobId = false } = this.#options;
    const found: CheckedBlobs = { verifiedBlobs: [], chunks: 0, bytes: 0 };
    const place = this.#place;
    if (!place) {
      for (const { index, id } of bootstrap.blobs) {
        // a table has each chunk once, a tree may have more than one record of it
        if (!bootstrap.chunkRecords) for (const chunk of uses.ofBlob(index)) void chunk;
        if (strict) doubts.warn(`blob ${id} is not verified: nobody said where it is`);
      }
      return found;
    }
    await prepareCompressors();
    const pool = contentPool(bootstrap);
    const verified: string[] = [];
    for (const blob of bootstrap.blobs) {
      signal?.throwIfAborted();
      const opened = await this.#open(blob, place);
      try {
        const doubt = (why: string): void => {
          if (blob.features & BlobFeature.TARFS) doubts.warn(why);
          else doubts.info(why);
        };
        const data = await checkData(opened, {
          ...{ bootstrap, uses, pool, anyBlobId, signal, doubt },
        });
        if (opened.source) verified.push(shown(blob.id));
        found.chunks += data.chunks;
        found.bytes += data.bytes;
      } finally {
        await opened.source?.close();
        await opened.tables?.close();
      }
    }
    return { ...found, verifiedBlobs: verified };
  }

  /** Opens what there is of a blob; says what there is not. */
  async #open(blob: BlobRecord, place: BlobLocation): Promise<OpenedBlob> {
    const isLayer = (blob.features & BlobFeature.SEPARATE) !== 0;
    const isElsewhere = isLayer || (blob.features & BlobFeature.EXTERNAL) !== 0;
    const missing = (what: string): void =>
      this.#options.doubts.info(
        `${what} of blob ${blob.id} are not verified: there is no such file`,
      );
    const tables = isLayer ? await this.#ifThere(openTables(blob, place, this.#image)) : undefined;
    try {
      if (isLayer && !tables) missing('tables');
      // chunks of a gzip layer cannot be found without its tables; the file with the inlined
      // bootstrap is neither a layer nor an external blob
      const isReadable = tables !== undefined || !(blob.features & BlobFeature.ZRAN);
      const isHere = !isElsewhere || !isOwnPlace(place, this.#image);
      const isOpened = isReadable && isHere;
      const source = isOpened ? await this.#ifThere(openBlob(blob, place)) : undefined;
      if (!source) missing('data');
      else if (isElsewhere || blob.features & BlobFeature.TARFS) {
        try {
          checkSize(blob, source);
        } catch (error) {
          await source.close();
          throw error;
        }
      }
      return { blob, source, tables };
    } catch (error) {
      await tables?.close();
      throw error;
    }
  }

  /** What `opening` opens; undefined if there is no such file and need not be. */
  async #ifThere(opening: Promise<ReaderAt>): Promise<ReaderAt | undefined> {
    try {
      return countingReader(await opening, this.#counters);
    } catch (error) {
      if (!this.#partial || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return undefined;
    }
  }
}

/** A layer or an external blob is nothing but data: its size must be what the image says. */
const checkSize = ({ id, compressedSize }: BlobRecord, { size }: ReaderAt): void => {
  if (size === compressedSize) return;
  throw new RafsError('MISMATCH', `expected a blob of ${compressedSize} bytes, got ${size}`, {
    blob: id,
  });
};
