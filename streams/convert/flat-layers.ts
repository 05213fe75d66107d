/**
 * One data layer of what is visible in an image, instead of one for each of its layers: fewer
 * requests before a container can start, and no content that upper layers hide.
 */
import { Readable } from 'node:stream';
import { located } from '../../lib/errors.js';
import type { JsonObject } from '../../lib/oci/json.js';
import { nativeFromDirectory, run } from '../pipelines.js';
import type { ImageSource } from '../transport/source.js';
import type { ImageTarget } from '../transport/target.js';
import { bothOf, stageOptions, type ConvertedLayer } from './convert-layer.js';
import type { ImageDict, SourceImage } from './convert-manifest.js';
import { warningOf, type LayerProgress } from './layer-queue.js';
import { LayerSink } from './layer-sink.js';
import type { ConversionSettings } from './settings.js';
import { visibleEntries, type ViewedLayer } from './visible-entries.js';

export interface FlattenOptions {
  source: ImageSource;
  /** takes the blob */
  target: Pick<ImageTarget, 'put'>;
  settings: ConversionSettings;
  dict?: ImageDict | undefined;
  workers?: number | undefined;
  signal: AbortSignal;
  onWarning?: (text: string) => void;
}

/** Converts all layers of an image, the topmost first, into one. */
export const flattenLayers = async (
  image: SourceImage,
  progress: readonly LayerProgress[],
  { source, target, settings, dict, workers, signal, onWarning }: FlattenOptions,
): Promise<ConvertedLayer> => {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const sink = new LayerSink();
  const layers = viewedLayers(image, progress, onWarning).reverse();
  const counters = { bytesIn: 0, bytesOut: 0, files: 0 };
  try {
    const given = { settings, dict: dict?.chunks, workers };
    const stages = await nativeFromDirectory(stageOptions(given, counters));
    const entries = visibleEntries(source, layers, either);
    const input = Readable.from(entries, { objectMode: true, highWaterMark: 2 });
    const secret = settings.build.encrypt; // the blob ends with its bootstrap
    const put = target.put(sink.blob(), { signal: either, secret });
    const blob = await bothOf(run(input, stages, sink, either), put, failed);
    const bootstrap = Buffer.concat(sink.bootstrap.splice(0));
    return { source: descriptorOf(image), blob, bootstrap, meta: sink.meta };
  } catch (error) {
    for (const one of progress) if (one.state !== 'done') one.state = 'failed';
    throw located(error, { manifest: image.raw.digest });
  }
};

const descriptorOf = ({ raw: { mediaType, digest, bytes } }: SourceImage) => ({
  mediaType,
  digest,
  size: bytes.length,
});

/** Layers in the order of the image, with what shows how far they are. */
const viewedLayers = (
  { manifest, config }: SourceImage,
  progress: readonly LayerProgress[],
  onWarning: FlattenOptions['onWarning'],
): ViewedLayer[] =>
  manifest.layers.map((layer, i) => {
    const shown = progress[i]!; // as many as layers
    let started = 0;
    return {
      layer,
      diffId: config.diffIds[i]!, // as many as layers
      counters: shown.counters,
      warn: warningOf(layer, onWarning),
      onBegin() {
        started = performance.now();
        shown.state = 'running';
      },
      onEnd() {
        shown.seconds = (performance.now() - started) / 1000;
        shown.counters.bytesIn = layer.size;
        shown.state = 'done';
      },
    };
  });

/** The image with a history that fits one layer: what was done stays, and made no layer. */
export const flattenedImage = (image: SourceImage): SourceImage => {
  const { config, manifest } = image;
  const history: JsonObject[] = [
    ...config.history.map(entry => ({ ...entry, empty_layer: true })),
    { created_by: 'rafs-stream', comment: `${manifest.layers.length} layers in one` },
  ];
  return { ...image, config: { ...config, history } };
};
