/** Verifies an image and, where its blobs are available, everything in them. */
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { loadedText } from '../../lib/bootstrap/super-flags.js';
import { verify } from '../../lib/bootstrap/verify.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import { shown } from '../../lib/model/names.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import type { RafsVersion } from '../../lib/model/version.js';
import type { Batch } from '../batch.js';
import { countingReader, type ReaderAt } from '../io/reader-at.js';
import { checkBlob, compareChunks, type CheckedBlob } from '../read/blob-checker.js';
import { blobReader, contentPool, type ImagePart } from '../read/blob-reader.js';
import { chunkVerifier } from '../read/chunk-verifier.js';
import {
  isOwnPlace,
  openBlob,
  openTables,
  placeOf,
  type BlobLocation,
  type BlobsInput,
} from './blob-location.js';
import { imageOf, type Image, type ImageInput } from './read-image.js';
import { newCounters, reporting, SILENT, withSignal, type RunOptions } from './run-options.js';

/** Options of {@link checkImage}. */
export interface CheckImageOptions extends RunOptions {
  /** where the blobs are, whose data are then compared with the image; default: in the image's file */
  blobs?: BlobsInput | undefined;
  /** blobs may be missing where `blobs` says; default: they must be there */
  partial?: boolean | undefined;
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
 * chunk of the blobs that are there. Fails with CORRUPT or MISMATCH at the first thing that is
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
  { blobs, partial, signal, onProgress, log = SILENT }: CheckImageOptions = {},
): Promise<CheckedImage> => {
  signal?.throwIfAborted();
  const image = await imageOf(input);
  const { bootstrap } = image;
  log.info(loadedText(bootstrap));
  await prepareDigests();
  const counters = newCounters();
  return reporting(onProgress, counters, async () => {
    for (const visit of verify(bootstrap)) {
      void visit; // nothing is kept
      counters.files += 1;
      if (counters.files % ENTRIES_AT_ONCE > 0) continue;
      await turn();
      signal?.throwIfAborted();
    }
    const place = await placeOf(blobs, image);
    const data = place
      ? await new DataCheck(image, place, { counters, partial, signal, log }).run()
      : { verifiedBlobs: [], chunks: 0, bytes: 0 };
    return {
      fsVersion: bootstrap.version,
      compressor: bootstrap.compressor,
      blobs: bootstrap.blobs.map(({ id }) => shown(id)),
      ...data,
      entryCount: counters.files,
    };
  });
};

type CheckedData = Pick<CheckedImage, 'verifiedBlobs' | 'chunks' | 'bytes'>;

/** Compares the blobs that are there with the image. */
class DataCheck {
  readonly #image: Image;
  readonly #place: BlobLocation;
  readonly #partial: boolean;
  readonly #counters: { bytesIn: number };
  readonly #signal: AbortSignal | undefined;
  readonly #log: NonNullable<RunOptions['log']>;
  readonly #sources = new Map<number, ReaderAt>();
  readonly #tables = new Map<number, ReaderAt>();

  constructor(
    image: Image,
    place: BlobLocation,
    {
      counters,
      partial = false,
      signal,
      log = SILENT,
    }: Pick<CheckImageOptions, 'partial' | 'signal' | 'log'> & { counters: { bytesIn: number } },
  ) {
    this.#image = image;
    this.#place = place;
    // nobody has asked for what is not in the image's own file
    this.#partial = partial || isOwnPlace(place, image);
    this.#counters = counters;
    this.#signal = signal;
    this.#log = log;
  }

  async run(): Promise<CheckedData> {
    await Promise.all([prepareDigests(), prepareCompressors()]);
    const { bootstrap } = this.#image;
    try {
      for (const blob of bootstrap.blobs) await this.#open(blob);
      const checked = new Map<number, CheckedBlob>();
      for (const blob of bootstrap.blobs) {
        this.#signal?.throwIfAborted();
        const isLayer = (blob.features & BlobFeature.SEPARATE) !== 0;
        const source = (isLayer ? this.#tables : this.#sources).get(blob.index);
        if (source) checked.set(blob.index, await checkBlob(source, blob));
      }
      compareChunks(bootstrap, checked);
      return await this.#readChunks();
    } finally {
      for (const source of [...this.#sources.values(), ...this.#tables.values()]) {
        await source.close();
      }
    }
  }

  /** Opens what there is of a blob; says what there is not. */
  async #open(blob: BlobRecord): Promise<void> {
    const reason = unreadable(blob.features);
    if (reason) {
      this.#log.warn(`data of blob ${blob.id} are not verified: ${reason}`);
      return;
    }
    const isLayer = (blob.features & BlobFeature.SEPARATE) !== 0;
    const isElsewhere = isLayer || (blob.features & BlobFeature.EXTERNAL) !== 0;
    const missing = (what: string): void =>
      this.#log.info(`${what} of blob ${blob.id} are not verified: there is no such file`);
    if (isLayer) {
      const source = await this.#ifThere(openTables(blob, this.#place, this.#image));
      if (source) this.#tables.set(blob.index, source);
      else missing('tables');
    }
    // chunks of a gzip layer cannot be found without its tables; the file with the inlined
    // bootstrap is neither a layer nor an external blob
    const isReadable = this.#tables.has(blob.index) || !(blob.features & BlobFeature.ZRAN);
    const isHere = !isElsewhere || !isOwnPlace(this.#place, this.#image);
    const isOpened = isReadable && isHere;
    const source = isOpened ? await this.#ifThere(openBlob(blob, this.#place)) : undefined;
    if (source) this.#sources.set(blob.index, source);
    else missing('data');
    if (source && isElsewhere) checkSize(blob, source);
  }

  async #readChunks(): Promise<CheckedData> {
    const { bootstrap } = this.#image;
    const [blobs, tables] = [this.#sources, this.#tables];
    const pool = contentPool(bootstrap);
    let chunks = 0;
    let bytes = 0;
    const counter = new Writable({
      objectMode: true,
      write(batch: Batch<ImagePart>, _encoding, done) {
        for (const part of batch) {
          if (part.kind !== 'chunk') continue;
          chunks += 1;
          bytes += part.bytes.length;
          pool.releaseBefore(part.bytes);
        }
        done();
      },
    });
    const reader = blobReader({ bootstrap, blobs, tables, distinct: true, pool });
    await pipeline(reader, chunkVerifier({ bootstrap }), counter, withSignal(this.#signal));
    this.#log.info(`verified ${chunks} chunks, ${bytes} bytes, in ${blobs.size} blobs`);
    const verifiedBlobs = [...blobs.keys()].map(index => shown(bootstrap.blobs[index]!.id));
    return { verifiedBlobs, chunks, bytes };
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

/** Why the data of a blob cannot be verified; undefined if they can. */
const unreadable = (features: number): string | undefined => {
  if (features & BlobFeature.TARFS) return 'there are no digests of a tar';
  return undefined;
};
