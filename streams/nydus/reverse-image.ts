/** Turns a Nydus image back into an ordinary one: each data layer becomes the tar it was made of. */
import { createHash } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { located, RafsError } from '../../lib/errors.js';
import type { BytesPart } from '../../lib/model/parts.js';
import { Annotation } from '../../lib/oci/annotations.js';
import { BOOTSTRAP_HISTORY, configBytes } from '../../lib/oci/config.js';
import { parseDigest, type Descriptor } from '../../lib/oci/descriptor.js';
import type { JsonObject } from '../../lib/oci/json.js';
import { indexBytes, manifestBytes, type Manifest } from '../../lib/oci/manifest.js';
import { MediaType } from '../../lib/oci/media-types.js';
import type { Batch } from '../batch.js';
import { readImageAt } from '../image/read-image.js';
import { layerType } from '../layer/decompress.js';
import { plainTar } from '../pipelines.js';
import { blobReader } from '../read/blob-reader.js';
import { chunkVerifier } from '../read/chunk-verifier.js';
import { tarMux } from '../read/tar-mux.js';
import type { ImageSource } from '../transport/source.js';
import type { ImageTarget } from '../transport/target.js';
import {
  copyBlob,
  gzipped,
  putBytes,
  readSourceImage,
  type SourceImage,
} from '../convert/convert-manifest.js';
import { openLayerSource } from '../transport/layer-source.js';
import { isNydus, openBlobs, readBootstrapLayer } from './nydus-image.js';
import { selectImages, type Platforms, type SelectedImage } from '../convert/select-images.js';
import { sourceReader } from '../transport/source-reader.js';

export interface ReverseImageOptions {
  source: ImageSource;
  target: ImageTarget;
  /** default: this machine's, where the source has a choice */
  platforms?: Platforms;
  /** default: gzip */
  compressor?: 'gzip' | 'none';
  signal?: AbortSignal;
  onNotice?: (text: string) => void;
}

/** An ordinary layer, and the digest of its tar. */
interface Restored {
  descriptor: Descriptor;
  diffId: string;
}

/**
 * Makes an ordinary image of a Nydus image, whatever its mode.
 *
 * @example
 * ```js
 * import { convertImage, openImageSource, openImageTarget, reverseImage } from 'rafs-stream';
 *
 * const ordinary = await openImageSource('oci:image:t');
 * const target = await openImageTarget('oci:there:t');
 * await convertImage({ source: ordinary, target });
 * await target.close();
 * const source = await openImageSource('oci:there:t');
 * const back = await openImageTarget('oci:back:t');
 * console.log((await reverseImage({ source, target: back })).digest);
 * await back.close();
 * ```
 */
export const reverseImage = async (options: ReverseImageOptions): Promise<Descriptor> => {
  const { source, target, platforms = 'host', onNotice = () => undefined } = options;
  const signal = options.signal ?? new AbortController().signal;
  await prepareDigests();
  const { images, index } = await selectImages(source, {
    platforms,
    nydus: true,
    notice: onNotice,
  });
  const made: Descriptor[] = [];
  for (const selected of images) {
    if (!isNydus(selected.manifest)) {
      throw new RafsError('UNSUPPORTED', 'the source is not a Nydus image', {
        manifest: selected.raw.digest,
      });
    }
    const image = await readSourceImage(source, selected.raw, selected.manifest);
    const bytes = await reversed(image, selected, options, signal);
    const stored = await target.putManifest(
      bytes,
      MediaType.MANIFEST,
      images.length > 1 ? undefined : {},
    );
    const platform = selected.descriptor?.platform ?? image.config.platform;
    made.push(images.length > 1 ? { ...stored, platform } : stored);
  }
  if (made.length === 1) return made[0]!;
  const bytes = indexBytes({
    manifests: made,
    ...(index?.annotations ? { annotations: index.annotations } : {}),
  });
  return target.putManifest(bytes, MediaType.INDEX, {});
};

const NYDUS_ANNOTATIONS: ReadonlySet<string> = new Set([
  Annotation.FS_VERSION,
  Annotation.SOURCE_DIGEST,
  Annotation.SOURCE_REFERENCE,
  'containerd.io/snapshot/nydus-builder-version',
]);

const reversed = async (
  image: SourceImage,
  { manifest }: SelectedImage,
  options: ReverseImageOptions,
  signal: AbortSignal,
): Promise<Buffer> => {
  const history = image.config.history.filter(entry => !isBootstrapEntry(entry));
  const data = manifest.layers.slice(0, -1);
  const { tarfs, blobs } = await readBootstrapLayer(options.source, manifest, signal);
  if (data.length === 0 && blobs.length > 0) {
    const text = 'the blobs of the image are in another storage: its layers cannot be restored';
    throw new RafsError('UNSUPPORTED', text, { image: options.source.name });
  }
  // blobs of a dictionary follow the layers, and have no history
  const counted = history.filter(entry => entry.empty_layer !== true).length;
  const count = counted > 0 && counted < data.length ? counted : data.length;
  const known = new Map<string, Restored>(); // by the digest of the data layer
  const layers: Restored[] = [];
  for (const layer of data.slice(0, count)) {
    let restored = known.get(layer.digest);
    try {
      restored ??= await restoredLayer(layer, { image, tarfs }, options, signal);
    } catch (error) {
      throw located(error, { layer: layer.digest });
    }
    known.set(layer.digest, restored);
    layers.push(restored);
  }
  const config = await putBytes(
    options.target,
    configBytes(image.config, { diffIds: layers.map(({ diffId }) => diffId), history }),
    signal,
  );
  const annotations = Object.fromEntries(
    Object.entries(manifest.annotations ?? {}).filter(([key]) => !NYDUS_ANNOTATIONS.has(key)),
  );
  return manifestBytes({
    config: { mediaType: MediaType.CONFIG, ...config },
    layers: layers.map(({ descriptor }) => descriptor),
    annotations,
  });
};

const isBootstrapEntry = (entry: JsonObject): boolean =>
  entry.comment === BOOTSTRAP_HISTORY.comment && entry.created_by === BOOTSTRAP_HISTORY.created_by;

const restoredLayer = async (
  layer: Descriptor,
  { image, tarfs }: { image: SourceImage; tarfs: boolean },
  options: ReverseImageOptions,
  signal: AbortSignal,
): Promise<Restored> => {
  const { source } = options;
  const original = layer.annotations?.[Annotation.REFERENCE];
  if (original !== undefined) return originalLayer(original, image, options, signal);
  if (tarfs) {
    // the data layer is the tar
    const input = await openLayerSource(source, layer, signal);
    return put(flat(input.stream), options, signal);
  }
  const reader = sourceReader(source, layer, signal);
  try {
    const { bootstrap } = await readImageAt(reader, parseDigest(layer.digest).hex);
    const open = await openBlobs(source, image.manifest, bootstrap, signal);
    try {
      const { blobs, tables } = open;
      const stages = tarMux({ slashedLinks: false });
      const sink = new PassThrough({ objectMode: true, highWaterMark: 2 });
      const work = pipeline(
        blobReader({ bootstrap, blobs, tables, rootless: true }),
        chunkVerifier({ bootstrap }),
        stages,
        sink,
        { signal },
      );
      work.catch((error: unknown) => sink.destroy(error as Error)); // seen where the sink is read
      const restored = await put(flat(sink), options, signal);
      await work;
      return restored;
    } finally {
      await open.close();
    }
  } finally {
    await reader.close();
  }
};

async function* flat(batches: AsyncIterable<Batch<BytesPart>>): AsyncGenerator<Buffer> {
  for await (const batch of batches) for (const { bytes } of batch) yield bytes;
}

/** Stores a tar as a layer. */
const put = async (
  tar: AsyncIterable<Buffer>,
  { target, compressor = 'gzip' }: ReverseImageOptions,
  signal: AbortSignal,
): Promise<Restored> => {
  const hash = createHash('sha256');
  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const piece of tar) {
      hash.update(piece);
      yield piece;
    }
  }
  const blob = await target.put(compressor === 'gzip' ? gzipped(hashed()) : hashed(), { signal });
  return {
    descriptor: {
      mediaType: layerType(compressor),
      ...blob,
    },
    diffId: `sha256:${hash.digest('hex')}`,
  };
};

/** The layer that a data layer refers to, as it is. */
const originalLayer = async (
  digest: string,
  { manifest }: SourceImage,
  { source, target }: ReverseImageOptions,
  signal: AbortSignal,
): Promise<Restored> => {
  const size = await sizeOfOriginal(digest, manifest, source, signal);
  const layer = { mediaType: MediaType.LAYER_GZIP, digest, size };
  const input = await openLayerSource(source, layer, signal);
  const { compression } = input;
  const hash = createHash('sha256');
  const witness = (bytes: Buffer): void => void hash.update(bytes);
  const drain = async (batches: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of batches);
  };
  await pipeline(input.stream, plainTar({ compression, witness }), drain, { signal });
  await copyBlob(layer, source, target, signal);
  return {
    descriptor: { mediaType: layerType(compression), digest, size },
    diffId: `sha256:${hash.digest('hex')}`,
  };
};

/** Size of a layer that no manifest names: the bootstrap of the data layer knows it. */
const sizeOfOriginal = async (
  digest: string,
  { layers }: Manifest,
  source: ImageSource,
  signal: AbortSignal,
): Promise<number> => {
  const { hex } = parseDigest(digest);
  const layer = layers.find(one => one.annotations?.[Annotation.REFERENCE] === digest)!;
  const reader = sourceReader(source, layer, signal);
  try {
    const { bootstrap } = await readImageAt(reader, parseDigest(layer.digest).hex);
    const blob = bootstrap.blobs.find(({ id }) => id === hex);
    if (blob) return blob.compressedSize;
  } finally {
    await reader.close();
  }
  let size = 0; // a layer without data is in no blob table
  for await (const piece of await source.open({ digest }, { signal })) {
    size += (piece as Buffer).length;
  }
  return size;
};
