/** Makes one image of those of an image's layers. */
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { blobElsewhere } from '../../lib/bootstrap/blob-table.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { parseSectionHeader } from '../../lib/blob/toc.js';
import { prepareDigests, sha256 } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { chunkDictPath } from '../../lib/image/chunk-dict.js';
import { loadImage } from '../../lib/image/load-image.js';
import { Merger, type Merged, type OwnBlob } from '../../lib/image/merge.js';
import { parsePrefetchPatterns } from '../../lib/layer/prefetch.js';
import { BlobFeature, Section } from '../../lib/layout/blob.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import { BLOCK_SIZE } from '../../lib/layout/tar.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import { held, shown } from '../../lib/model/names.js';
import type { RafsVersion } from '../../lib/model/version.js';
import { openArtifacts, type ArtifactPart, type Target } from '../build/artifact-writer.js';
import { separateBootstrap } from '../build/bootstrap-finalizer.js';
import { destroyAndWait } from '../io/destroy.js';
import { releaseFifo } from '../io/fifo.js';
import { refuseSameFile } from '../files/same-file.js';
import { openBlob, placeOf, type BlobLocation, type BlobsInput } from './blob-location.js';
import { failingWith, openLayer } from './open-layers.js';
import { fileIdOf, type Image, type ImageInput } from './read-image.js';
import { newCounters, reporting, SILENT, type RunOptions } from './run-options.js';

/** A layer, and what its caller knows about its blob better than the layer's bootstrap does. */
export interface MergeLayer {
  image: ImageInput;
  /** default: what the bootstrap says */
  blobId?: string | undefined;
  /** sha256 of the blob in hex; of a blob that only refers to a layer, that of the file beside it */
  digest?: string | undefined;
  /** bytes of that file, or else of the blob */
  size?: number | undefined;
  /** sha256 of the blob's table of contents, in hex */
  tocDigest?: string | undefined;
  tocSize?: number | undefined;
}

/** Options of {@link mergeImages}. */
export interface MergeImagesOptions extends RunOptions {
  /** where the image goes: a file, a FIFO, '-' for standard output, or a stream that is ended */
  bootstrap?: string | Writable | undefined;
  /** instead: directory of a file that is named by the sha256 of its content */
  directory?: string | undefined;
  /** where the blobs are, if what only they can tell is to be read from them */
  blobs?: BlobsInput | undefined;
  /** image that the layers lie on */
  parent?: ImageInput | undefined;
  /** image whose blobs are not to be renamed */
  chunkDict?: ImageInput | undefined;
  /** paths that are wanted first */
  prefetch?: readonly string[] | undefined;
}

/** What {@link mergeImages} has made. */
export interface MergedImage {
  /** path of the image, if it lies in a file */
  bootstrap: string | undefined;
  /** ids of all blobs, by blob index */
  blobs: readonly string[];
  fsVersion: RafsVersion;
  compressor: Compressor;
}

/**
 * Lays images of layers on each other, the lowest first, by the rules of OCI whiteouts. Fails with
 * INCONSISTENT if they cannot form one image.
 *
 * @example
 * ```js
 * import { createImage, mergeImages } from 'rafs-stream';
 *
 * const blob = { blobDir: '.' };
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'lower.boot', ...blob });
 * await createImage({ source: 'upper.tar', bootstrap: 'upper.boot', ...blob });
 * const { blobs } = await mergeImages(['lower.boot', 'upper.boot'], { bootstrap: 'both.boot' });
 * console.log(blobs.length);
 * ```
 */
export const mergeImages = async (
  layers: readonly (ImageInput | MergeLayer)[],
  options: MergeImagesOptions,
): Promise<MergedImage> => {
  const { prefetch, log = SILENT } = options;
  if (layers.length === 0) throw new RafsError('USAGE', 'there are no layers to merge');
  const known = layers.map(layerOf);
  const patterns = parsePrefetchPatterns(Buffer.from((prefetch ?? []).join('\n')));
  for (const warning of patterns.warnings) log.warn(warning);
  const target = targetOf(options);
  return mergeLayers(known, target, { ...options, patterns: patterns.patterns });
};

/** A layer as the merger takes it. */
export interface KnownLayer {
  image: ImageInput;
  own: (image: Image) => OwnBlob;
}

/** The same with everything decided, for whoever has rules of his own. */
export const mergeLayers = async (
  layers: readonly KnownLayer[],
  target: Target,
  options: Omit<MergeImagesOptions, 'prefetch'> & { patterns: readonly string[] },
): Promise<MergedImage> => {
  const { signal, fsync, onProgress, parent, chunkDict } = options;
  signal?.throwIfAborted();
  if ('path' in target) {
    const read = [...layers.map(({ image }) => image), parent, chunkDict];
    refuseSameFile(
      [{ name: 'the output', path: target.path }],
      read.flatMap(file => (typeof file === 'string' ? [{ name: 'a layer', path: file }] : [])),
    );
  }
  const writer = await openArtifacts({ bootstrap: target }, { signal, fsync }).catch(
    async (error: unknown) => {
      if ('path' in target) await releaseFifo(target.path);
      throw error;
    },
  );
  const counters = {
    ...newCounters(),
    get bytesOut() {
      return writer.bytesWritten;
    },
  };
  try {
    return await reporting(onProgress, counters, async () => {
      const { merged, first } = await merge(layers, options, counters);
      const ids = merged.blobs.map(({ id }) => id);
      const parts = Readable.from([...batches(merged, ids)]);
      await pipeline(parts, writer, { ...(signal ? { signal } : {}) });
      return { bootstrap: writer.paths.bootstrap, blobs: ids.map(shown), ...first };
    });
  } catch (error) {
    await destroyAndWait(writer);
    throw error;
  }
};

const targetOf = ({ bootstrap, directory }: MergeImagesOptions): Target => {
  if (typeof bootstrap === 'string') return { path: bootstrap };
  if (bootstrap) return { stream: bootstrap };
  if (directory !== undefined) return { directory };
  throw new RafsError('USAGE', 'one of the options bootstrap and directory must be given');
};

const layerOf = (layer: ImageInput | MergeLayer): KnownLayer => {
  const isBare = typeof layer === 'string' || !('image' in layer) || 'bootstrap' in layer;
  const { image, blobId, digest, size, tocDigest, tocSize }: MergeLayer = isBare
    ? { image: layer }
    : layer;
  return {
    image,
    own: ({ path }) => ({
      id: blobId === undefined ? fileIdOf(path) : held(blobId),
      keepsId: blobId === undefined,
      ...(digest === undefined ? {} : { digest: digestOf(digest) }),
      ...(size === undefined ? {} : { size }),
      ...(tocDigest === undefined ? {} : { tocDigest: digestOf(tocDigest) }),
      ...(tocSize === undefined ? {} : { tocSize }),
    }),
  };
};

/** The bytes of a SHA-256 in hex; UNSUPPORTED if it is none. */
export const digestOf = (text: string): Buffer => {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  throw new RafsError(
    'UNSUPPORTED',
    `${JSON.stringify(text)} is not a digest of 64 hexadecimal digits`,
  );
};

function* batches(merged: Merged, blobs: readonly string[]): Iterable<ArtifactPart[]> {
  for (const part of separateBootstrap('bootstrap', merged.bootstrap)) yield [part];
  const blobSize = merged.blobs.at(-1)?.compressedSize ?? 0;
  yield [{ kind: 'image', image: { blobs, blobSize, entryCount: 0 } }];
}

/** Takes one layer at a time, so only one layer's bootstrap is held beside the merged result. */
const merge = async (
  layers: readonly KnownLayer[],
  {
    blobs: blobsInput,
    parent: parentInput,
    chunkDict,
    patterns,
    signal,
  }: Parameters<typeof mergeLayers>[2],
  counters: { bytesIn: number; files: number },
): Promise<{ merged: Merged; first: Pick<MergedImage, 'fsVersion' | 'compressor'> }> => {
  await prepareDigests(); // v5 has digests of inodes
  const parentError = 'load parent bootstrap';
  const parent = parentInput === undefined ? undefined : await openLayer(parentInput, parentError);
  const dict =
    chunkDict === undefined
      ? undefined
      : await openLayer(
          typeof chunkDict === 'string' ? chunkDictPath(chunkDict) : chunkDict,
          'load chunk dict bootstrap',
        );
  const quoted = typeof parentInput === 'string' ? ` ${JSON.stringify(parentInput)}` : '';
  const lower =
    parent && (await failingWith(`${parentError}${quoted}`, () => loadImage(parent.bootstrap)));
  const merger = new Merger({
    ...(lower ? { parent: lower } : {}),
    // with a dictionary, as nydus-image does: the layers may be those above its image
    ...(dict ? { dict: dict.bootstrap, keepsWhiteouts: true } : {}),
  });
  let first: Bootstrap | undefined;
  for (const { image: input, own } of layers) {
    signal?.throwIfAborted();
    const message = 'load bootstrap';
    const image = await openLayer(input, message);
    const { bootstrap, path } = image;
    counters.bytesIn += image.image.length;
    counters.files += bootstrap.inodeCount;
    const place = blobsInput === undefined ? undefined : await placeOf(blobsInput, image);
    const blobs = await blobsOf(bootstrap, place);
    try {
      merger.add({ bootstrap, blobs, own: own(image), path });
    } catch (error) {
      if (!(error instanceof RafsError) || error.code !== 'CORRUPT') throw error;
      throw new Error(`${message} ${JSON.stringify(path)}`, { cause: error });
    }
    first ??= bootstrap;
  }
  const { version: fsVersion, compressor } = first!; // there is one
  return { merged: merger.finish({ prefetch: patterns }), first: { fsVersion, compressor } };
};

/** The blobs of a layer; if their files are available, with what only a whole file can tell. */
const blobsOf = async (
  bootstrap: Bootstrap,
  place: BlobLocation | undefined,
): Promise<BlobInfo[]> => {
  const blobs: BlobInfo[] = [];
  for (const record of bootstrap.blobs) {
    const blob = blobElsewhere(record);
    const inlined = (record.features & BlobFeature.INLINED_FS_META) !== 0;
    blobs.push(place && inlined ? { ...blob, ...(await measured(record, place)) } : blob);
  }
  return blobs;
};

const measured = async (
  record: Bootstrap['blobs'][number],
  place: BlobLocation,
): Promise<Partial<BlobInfo>> => {
  const separate = (record.features & BlobFeature.SEPARATE) !== 0;
  const id = separate ? (record.metaFile ?? record.id) : record.id;
  const file = await openBlob({ ...record, id }, place);
  try {
    const { size } = file;
    const tail = await file.read(Math.max(0, size - BLOCK_SIZE), Math.min(size, BLOCK_SIZE));
    const header = parseSectionHeader(tail, tail.length - BLOCK_SIZE);
    const tocSize = header?.name === Section.TOC ? header.size + BLOCK_SIZE : 0;
    const hasToc = tocSize > 0 && tocSize <= Math.min(size, MAX_TOC);
    return {
      ...(separate ? { metaSize: size } : { compressedSize: size }),
      ...(hasToc ? { tocSize, tocDigest: sha256(await file.read(size - tocSize, tocSize)) } : {}),
    };
  } finally {
    await file.close();
  }
};

/** More than a blob's table of contents takes, which has five entries. */
const MAX_TOC = 0x1000;
