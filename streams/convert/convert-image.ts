/**
 * Converts an image: all layers of all its platforms, several at once, then what names them. The
 * manifest goes last, so that a run that fails leaves no image.
 */
import type { Descriptor, Platform } from '../../lib/oci/descriptor.js';
import { indexBytes, type Manifest } from '../../lib/oci/manifest.js';
import { RafsError } from '../../lib/errors.js';
import { MediaType } from '../../lib/oci/media-types.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import type { ImageSource } from '../transport/source.js';
import type { BlobStore } from '../transport/blob-store.js';
import type { ImageTarget } from '../transport/target.js';
import {
  assembleImage,
  checkConvertible,
  copyBlob,
  readSourceImage,
  type ConvertedManifest,
  type ImageDict,
  type SourceImage,
} from './convert-manifest.js';
import type { ConvertedLayer } from './convert-layer.js';
import { withEmptyLayer } from './empty-layer.js';
import { flattenedImage, flattenLayers, type FlattenOptions } from './flat-layers.js';
import { LayerQueue, type LayerCache, type LayerProgress } from './layer-queue.js';
import { restarting } from './restarting.js';
import { selectImages, type Platforms, type SelectedImage } from './select-images.js';
import { planConversion, type ConversionOptions, type ConversionSettings } from './settings.js';

export interface ConvertImageOptions extends ConversionOptions {
  source: ImageSource;
  target: ImageTarget;
  /** default: this machine's, where the source has a choice */
  platforms?: Platforms;
  /** also put the ordinary image into the result, an index of both */
  mergePlatform?: boolean;
  /** name the source as the subject of the result */
  withReferrer?: boolean;
  /** takes the blobs of layers; the result in the target then names none of them */
  blobs?: BlobStore;
  /** make one data layer of what is visible, instead of one for each layer; native only */
  flatten?: boolean;
  /** chunks that need not be stored again */
  dict?: ImageDict;
  cache?: LayerCache;
  /** bytes of memory for the process; default: 256 MiB */
  memory?: number;
  /** threads that compress */
  workers?: number;
  /** recorded in the result as where it comes from */
  sourceReference?: string;
  signal?: AbortSignal;
  /** read the manifests and plan the work, but do not do it: the result has no digest then */
  dryRun?: boolean;
  /** is given all layers before the first is converted, and may watch them change */
  onPlan?: (layers: readonly LayerProgress[]) => void;
  onNotice?: (text: string) => void;
  /** is told, with the layer's digest, what of a layer is left out or changed */
  onWarning?: (text: string) => void;
}

export interface ConvertedImage extends Descriptor {
  images: readonly (ConvertedManifest & { descriptor: Descriptor; source: SourceImage })[];
  layers: readonly LayerProgress[];
  /** bytes of the configs and layers that the source's manifests name, and those of the result */
  sourceSize: number;
  targetSize: number;
}

/**
 * Converts an image to Nydus, every layer while it is read. The result exists when it is complete.
 *
 * @example
 * ```js
 * import { convertImage, openImageSource, openImageTarget } from 'rafs-stream';
 *
 * const source = await openImageSource('oci:image:t');
 * const target = await openImageTarget('oci:nydus:t');
 * const { digest } = await convertImage({ source, target });
 * await Promise.all([source.close(), target.close()]);
 * console.log(digest);
 * ```
 */
export const convertImage = async (options: ConvertImageOptions): Promise<ConvertedImage> => {
  const { source, target, platforms = 'host', onNotice = () => undefined } = options;
  const settings = planConversion(options);
  checkCombination(options, settings);
  await prepareCompressors();
  const selection = await selectImages(source, { platforms, notice: onNotice });
  const images: { selected: SelectedImage; image: SourceImage }[] = [];
  for (const selected of selection.images) {
    const image = await readSourceImage(source, selected.raw, selected.manifest);
    checkConvertible(image);
    images.push({ selected, image });
  }
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const layers = new LayerQueue({ ...options, settings, signal });
  const plan = layers.plan(images.map(({ image }) => image));
  if (options.dryRun) {
    layers.lookUp();
    const nothing = { mediaType: '', digest: '', size: 0, images: [], targetSize: 0 };
    return { ...nothing, layers: plan, sourceSize: sizeOf(images.map(({ image }) => image)) };
  }
  options.onPlan?.(plan);
  if (!options.flatten) await layers.convertAll(error => failed.abort(error));

  const made: ConvertedImage['images'][number][] = [];
  const ordinary: Manifest[] = [];
  const others: Descriptor[] = [];
  for (const { selected, image } of images) {
    const platform = selected.descriptor?.platform ?? platformOf(image);
    const [from, data] = options.flatten
      ? [flattenedImage(image), [await flat(image, layers, { ...options, settings, signal })]]
      : [image, layers.of(image)];
    const converted = await assembleImage(from, data, target, {
      ...options,
      settings,
      signal,
      ...(options.mergePlatform ? { configType: MediaType.NYDUS_CONFIG } : {}),
    });
    const mixed = selection.images.length > 1 || options.mergePlatform === true;
    const stored = await target.putManifest(
      converted.bytes,
      MediaType.MANIFEST,
      mixed ? undefined : {},
    );
    if (options.mergePlatform) {
      const { manifest, ...descriptor } = await putOrdinary(image, options, settings, signal);
      others.push({ ...descriptor, platform });
      ordinary.push(manifest);
    }
    const descriptor = {
      ...stored,
      mediaType: MediaType.MANIFEST,
      ...(mixed ? { platform } : {}),
      ...(options.mergePlatform ? { artifactType: MediaType.NYDUS_MANIFEST } : {}),
    };
    made.push({ ...converted, descriptor, source: image });
  }
  const done = {
    images: made,
    layers: plan,
    sourceSize: sizeOf(images.map(({ image }) => image)),
    targetSize: sizeOf([...made, ...ordinary.map(manifest => ({ manifest }))]),
  };
  if (made.length === 1 && !options.mergePlatform) return { ...made[0]!.descriptor, ...done };
  const bytes = indexBytes({
    manifests: [...others, ...made.map(({ descriptor }) => descriptor)],
    ...(selection.index?.annotations ? { annotations: selection.index.annotations } : {}),
  });
  const stored = await target.putManifest(bytes, MediaType.INDEX, {});
  return { ...stored, ...done };
};

const flat = (
  image: SourceImage,
  layers: LayerQueue,
  { target, blobs, ...options }: ConvertImageOptions & FlattenOptions,
): Promise<ConvertedLayer> => {
  const progress = layers.progressOf(image);
  const given = { ...options, target: blobs ?? target };
  return restarting(() => flattenLayers(image, progress, given), options.signal);
};

/** Bytes of all configs and layers that manifests name. */
const sizeOf = (images: readonly { manifest: Manifest }[]): number =>
  images
    .flatMap(({ manifest: { config, layers } }) => [config, ...layers])
    .reduce((sum, { size }) => sum + size, 0);

/** Refuses options that go with some modes only. */
const checkCombination = (
  { blobs, dict, cache, flatten = false }: ConvertImageOptions,
  { mode }: ConversionSettings,
): void => {
  if (mode !== 'native' && flatten) {
    throw new RafsError('USAGE', `a ${mode} image refers to layers as they are: it cannot be flat`);
  }
  if (flatten && cache) {
    throw new RafsError('USAGE', 'a build cache holds layers, which a flat image does not have');
  }
  if (mode !== 'native' && blobs) {
    throw new RafsError('USAGE', `a ${mode} image cannot have its blobs in a storage of its own`);
  }
  if (mode !== 'native' && dict) {
    throw new RafsError('USAGE', `a ${mode} image stores no chunks: a dictionary is of no use`);
  }
  if (blobs && cache) {
    throw new RafsError('USAGE', 'a build cache cannot hold blobs that are in another storage');
  }
};

const platformOf = ({ config }: SourceImage): Platform => config.platform;

/**
 * The ordinary image beside a Nydus one. An image that refers to its layers stays as it is, bound
 * to them by digest; others get an empty layer in front, so that containerd cannot take what it
 * made of one for the other.
 */
const putOrdinary = async (
  image: SourceImage,
  { source, target }: ConvertImageOptions,
  { mode }: ConversionSettings,
  signal: AbortSignal,
): Promise<Descriptor & { manifest: Manifest }> => {
  for (const layer of image.manifest.layers) await copyBlob(layer, source, target, signal);
  if (mode !== 'zran') return withEmptyLayer(image, target, signal);
  await copyBlob(image.manifest.config, source, target, signal);
  const { bytes, mediaType, digest } = image.raw;
  const type = mediaType || MediaType.MANIFEST;
  await target.putManifest(bytes, type);
  return { mediaType: type, digest, size: bytes.length, manifest: image.manifest };
};
