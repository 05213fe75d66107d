/**
 * Converts an image: all layers of all its platforms, several at once, then what names them. The
 * manifest goes last, so that a run that fails leaves no image.
 */
import type { Descriptor, Platform } from '../../lib/oci/descriptor.js';
import { indexBytes } from '../../lib/oci/manifest.js';
import { MediaType } from '../../lib/oci/media-types.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import type { ImageSource } from '../transport/source.js';
import type { ImageTarget } from '../transport/target.js';
import { Budget } from './budget.js';
import { convertLayer, type ConvertedLayer, type LayerCounters } from './convert-layer.js';
import {
  assembleImage,
  checkConvertible,
  copyBlob,
  readSourceImage,
  type ConvertedManifest,
  type ImageDict,
  type SourceImage,
} from './convert-manifest.js';
import { withEmptyLayer } from './empty-layer.js';
import { selectImages, type Platforms, type SelectedImage } from './select-images.js';
import { planConversion, type ConversionOptions, type ConversionSettings } from './settings.js';

/** Bytes of memory for the process unless told otherwise. */
const DEFAULT_MEMORY = 0x1000_0000;

/** A layer on its way; the fields change while it is converted. */
export interface LayerProgress {
  readonly layer: Descriptor;
  readonly counters: LayerCounters;
  state: 'waiting' | 'running' | 'reused' | 'done' | 'failed';
  seconds: number;
  blob?: { digest: string; size: number };
}

/** Layers that were converted before. */
export interface LayerCache {
  has(layer: Descriptor): boolean;
  /** The converted layer, whose blob is now in the target; undefined if it is not known. */
  find(layer: Descriptor): Promise<ConvertedLayer | undefined>;
}

export interface ConvertImageOptions extends ConversionOptions {
  source: ImageSource;
  target: ImageTarget;
  /** default: this machine's, where the source has a choice */
  platforms?: Platforms;
  /** also put the ordinary image into the result, an index of both */
  mergePlatform?: boolean;
  /** name the source as the subject of the result */
  withReferrer?: boolean;
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
}

export interface ConvertedImage extends Descriptor {
  images: readonly (ConvertedManifest & { descriptor: Descriptor; source: SourceImage })[];
  layers: readonly LayerProgress[];
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
    return { mediaType: '', digest: '', size: 0, images: [], layers: plan };
  }
  options.onPlan?.(plan);
  await layers.convertAll(error => failed.abort(error));

  const made: ConvertedImage['images'][number][] = [];
  const others: Descriptor[] = [];
  for (const { selected, image } of images) {
    const platform = selected.descriptor?.platform ?? platformOf(image);
    const converted = await assembleImage(image, layers.of(image), target, {
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
      others.push({ ...(await putOrdinary(image, options, settings, signal)), platform });
    }
    const descriptor = {
      ...stored,
      mediaType: MediaType.MANIFEST,
      ...(mixed ? { platform } : {}),
      ...(options.mergePlatform ? { artifactType: MediaType.NYDUS_MANIFEST } : {}),
    };
    made.push({ ...converted, descriptor, source: image });
  }
  if (made.length === 1 && !options.mergePlatform) {
    return { ...made[0]!.descriptor, images: made, layers: plan };
  }
  const bytes = indexBytes({
    manifests: [...others, ...made.map(({ descriptor }) => descriptor)],
    ...(selection.index?.annotations ? { annotations: selection.index.annotations } : {}),
  });
  const stored = await target.putManifest(bytes, MediaType.INDEX, {});
  return { ...stored, images: made, layers: plan };
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
): Promise<Descriptor> => {
  for (const layer of image.manifest.layers) await copyBlob(layer, source, target, signal);
  if (mode !== 'zran') return withEmptyLayer(image, target, signal);
  await copyBlob(image.manifest.config, source, target, signal);
  const { bytes, mediaType, digest } = image.raw;
  const type = mediaType || MediaType.MANIFEST;
  await target.putManifest(bytes, type);
  return { mediaType: type, digest, size: bytes.length };
};

/** Memory of the process without any layer. */
const BASE_MEMORY = 0x900_0000;
/** Most layers at once per budget: more would only wait for the processors. */
const MOST_AT_ONCE = 6;
/** Memory that a layer's stages take, and that goes with its size. */
const STAGES_MEMORY = 0x280_0000;
const SMALL_FACTOR = 4;
/** Layers up to this size are converted without threads. */
const SMALL_LAYER = 0x8_0000;

/** Layers of images, each distinct one converted once. */
class LayerQueue {
  readonly #options: ConvertImageOptions & { settings: ConversionSettings; signal: AbortSignal };
  readonly #jobs = new Map<string, { progress: LayerProgress; diffId: string }>();
  readonly #made = new Map<string, ConvertedLayer>();

  constructor(
    options: ConvertImageOptions & { settings: ConversionSettings; signal: AbortSignal },
  ) {
    this.#options = options;
  }

  /** All distinct layers, the largest first. */
  plan(images: readonly SourceImage[]): LayerProgress[] {
    for (const { manifest, config } of images) {
      for (const [i, layer] of manifest.layers.entries()) {
        const diffId = config.diffIds[i]!; // as many as layers
        const key = keyOf(layer, diffId);
        if (this.#jobs.has(key)) continue;
        const counters = { bytesIn: 0, bytesOut: 0, files: 0 };
        const progress = { layer, counters, state: 'waiting' as const, seconds: 0 };
        this.#jobs.set(key, { progress, diffId });
      }
    }
    return [...this.#jobs.values()]
      .map(({ progress }) => progress)
      .sort((a, b) => b.layer.size - a.layer.size);
  }

  /** Resolves when all are converted; `stop` is called with the first failure. */
  async convertAll(stop: (error: unknown) => void): Promise<void> {
    const { memory = DEFAULT_MEMORY } = this.#options;
    const room = Math.max(memory - BASE_MEMORY, STAGES_MEMORY);
    const budget = new Budget(room);
    const jobs = [...this.#jobs.entries()].sort(
      ([, a], [, b]) => b.progress.layer.size - a.progress.layer.size,
    );
    let failure: { error: unknown } | undefined;
    await Promise.all(
      jobs.map(async ([key, { progress, diffId }]) => {
        const { size } = progress.layer;
        const weight = Math.min(STAGES_MEMORY, SMALL_FACTOR * size);
        try {
          await budget.run(Math.max(weight, room / MOST_AT_ONCE), async () => {
            this.#made.set(key, await this.#convert(progress, diffId));
          });
        } catch (error) {
          progress.state = 'failed';
          failure ??= { error };
          stop(error);
        }
      }),
    );
    if (failure) throw failure.error;
  }

  /** Finds out which layers were converted before. */
  lookUp(): void {
    for (const { progress } of this.#jobs.values()) {
      if (this.#options.cache?.has(progress.layer)) progress.state = 'reused';
    }
  }

  /** The layers of an image, bottom first. */
  of({ manifest, config }: SourceImage): ConvertedLayer[] {
    return manifest.layers.map((layer, i) => {
      const made = this.#made.get(keyOf(layer, config.diffIds[i]!));
      if (!made) throw new Error('a layer was not converted');
      return made;
    });
  }

  async #convert(progress: LayerProgress, diffId: string): Promise<ConvertedLayer> {
    const { source, target, settings, dict, cache, workers, signal } = this.#options;
    const { layer, counters } = progress;
    signal.throwIfAborted();
    const started = performance.now();
    progress.state = 'running';
    const known = await cache?.find(layer);
    const small = layer.size <= SMALL_LAYER ? 0 : undefined;
    const threads = workers ?? small;
    const made =
      known ??
      (await convertLayer({
        source,
        target,
        layer,
        diffId,
        settings,
        counters,
        signal,
        dict: dict?.chunks,
        ...(threads === undefined ? {} : { workers: threads }),
      }));
    // an image that refers to its layers is of no use without them
    if (settings.mode === 'zran') await copyBlob(layer, source, target, signal);
    progress.blob = made.blob;
    progress.seconds = (performance.now() - started) / 1000;
    progress.state = known ? 'reused' : 'done';
    return made;
  }
}

const keyOf = ({ digest }: Descriptor, diffId: string): string => `${digest} ${diffId}`;
