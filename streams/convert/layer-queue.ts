/** The layers of images, several of which are converted at once, within a budget of memory. */
import type { Descriptor } from '../../lib/oci/descriptor.js';
import { saidOnce } from '../../lib/model/warnings.js';
import type { ImageSource } from '../transport/source.js';
import type { BlobStore } from '../transport/blob-store.js';
import type { ImageTarget } from '../transport/target.js';
import { Budget } from './budget.js';
import { convertLayer, type ConvertedLayer, type LayerCounters } from './convert-layer.js';
import { copyBlob, type ImageDict, type SourceImage } from './convert-manifest.js';
import { restarting } from './restarting.js';
import type { ConversionSettings } from './settings.js';

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

export interface LayerQueueOptions {
  source: ImageSource;
  target: ImageTarget;
  /** takes the blobs of layers instead of the target */
  blobs?: BlobStore;
  settings: ConversionSettings;
  dict?: ImageDict;
  cache?: LayerCache;
  memory?: number;
  workers?: number;
  signal: AbortSignal;
  /** is told, with the layer's digest, what of a layer is left out or changed */
  onWarning?: (text: string) => void;
}

/** Bytes of memory for the process unless told otherwise. */
const DEFAULT_MEMORY = 0x1000_0000;
/** Memory of the process without any layer. */
const BASE_MEMORY = 0x900_0000;
/** Most layers at once per budget: more would only wait for the processors. */
const MOST_AT_ONCE = 6;
/** Memory that a layer's stages take, and that goes with its size. */
const STAGES_MEMORY = 0x280_0000;
const SMALL_FACTOR = 4;

/** Layers of images, each distinct one converted once. */
export class LayerQueue {
  readonly #options: LayerQueueOptions;
  readonly #jobs = new Map<string, { progress: LayerProgress; diffId: string }>();
  readonly #made = new Map<string, ConvertedLayer>();

  constructor(options: LayerQueueOptions) {
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

  /** What shows how far the layers of an image are, bottom first. */
  progressOf({ manifest, config }: SourceImage): LayerProgress[] {
    return manifest.layers.map(
      (layer, i) => this.#jobs.get(keyOf(layer, config.diffIds[i]!))!.progress, // planned before
    );
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
    const { source, target, blobs, settings, dict, cache, workers, signal } = this.#options;
    const { layer, counters } = progress;
    signal.throwIfAborted();
    const started = performance.now();
    progress.state = 'running';
    const known = await cache?.find(layer);
    const warn = warningOf(layer, this.#options.onWarning);
    const convert = (): Promise<ConvertedLayer> => {
      counters.bytesIn = counters.bytesOut = counters.files = 0;
      return convertLayer({
        source,
        target: blobs ?? target,
        layer,
        diffId,
        settings,
        counters,
        signal,
        warn,
        dict: dict?.chunks,
        ...(workers === undefined ? {} : { workers }),
      });
    };
    const made = known ?? (await restarting(convert, signal));
    // an image that refers to its layers is of no use without them
    if (settings.mode === 'zran') await copyBlob(layer, source, target, signal);
    progress.blob = made.blob;
    progress.seconds = (performance.now() - started) / 1000;
    progress.state = known ? 'reused' : 'done';
    return made;
  }
}

/** Says each warning of a layer once, even if the layer is read again. */
export const warningOf = (
  { digest }: Descriptor,
  onWarning: ((text: string) => void) | undefined,
): ((message: string) => void) => saidOnce(message => onWarning?.(`${message} (layer ${digest})`));

const keyOf = ({ digest }: Descriptor, diffId: string): string => `${digest} ${diffId}`;
