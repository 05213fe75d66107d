/** convert: makes a Nydus image of a container image, or the other way round. */
import { platformText } from '../../lib/oci/platform.js';
import {
  convertImage,
  type ConvertedImage,
  type ConvertImageOptions,
} from '../../streams/convert/convert-image.js';
import type { ImageDict } from '../../streams/convert/convert-manifest.js';
import {
  checkCacheable,
  openLayerCache,
  saveLayerCache,
} from '../../streams/convert/layer-cache.js';
import type { LayerProgress } from '../../streams/convert/layer-queue.js';
import { planConversion, type ConversionOptions } from '../../streams/convert/settings.js';
import { backendOf } from '../../streams/image/blob-location.js';
import { reverseImage } from '../../streams/nydus/reverse-image.js';
import { openBlobStore } from '../../streams/transport/blob-store.js';
import {
  openImageSource,
  openImageTarget,
  type TransportOptions,
} from '../../streams/transport/open-transport.js';
import type { ImageTarget } from '../../streams/transport/target.js';
import type { Values } from '../cli/options.js';
import type { CommandContext, Run } from '../cli/context.js';
import { conversionOf, openDict, prefetchOf } from '../cli/conversion.js';
import {
  byteSize,
  imageNames,
  platformsOf,
  transportOptions,
  type ImageNames,
} from '../cli/image-names.js';
import { conversionMetrics } from '../console/conversion-metrics.js';
import { layerTable, startLayerProgress, type LayerDisplay } from '../console/layer-progress.js';
import { writeOutputJson } from '../console/output-json.js';
import { collectSeldom } from '../memory.js';

type Reach = ReturnType<typeof transportOptions>;

/** How names of images in registries begin. */
const REGISTRY = 'docker://';

export const run: Run<'convert'> = async ({ values, positionals }, context) => {
  const { log, signal, fsync } = context;
  collectSeldom();
  const names = imageNames(values, positionals);
  const reach = transportOptions(values, context);
  const prefetch = await prefetchOf(values, warning => log.warn(warning));
  const open = new Opened();
  try {
    const source = open.add(await openImageSource(names.source, reach.source));
    const target = open.add(
      values['dry-run'] ? nowhere(names.target) : await openImageTarget(names.target, reach.target),
    );
    const common = {
      ...{ source, target, signal },
      platforms: platformsOf(values) ?? ('host' as const),
      onNotice: (text: string) => log.info(text),
      onWarning: (text: string) => log.warn(text),
    };
    if (values.reverse) {
      const { digest } = await reverseImage(common);
      log.info(`converted ${source.name} back to ${target.name}: ${digest}`);
      return;
    }
    const conversion = conversionOf(values, prefetch);
    const backend = await backendOf(values);
    const blobs =
      backend &&
      open.add(openBlobStore(backend, { force: values['backend-force-push'], fsync, signal }));
    const dict =
      values['chunk-dict'] === undefined
        ? undefined
        : open.add(await openDict(values['chunk-dict'], conversion, reach.dict)).dict;
    const cache = await openCache(values, { conversion, dict, target, reach, names }, context);
    if (cache) open.add(cache);
    const started = performance.now();
    const result = await showing(context, {
      ...common,
      ...conversion,
      ...optionsOf(values),
      ...(cache ? { cache: cache.layers } : {}),
      ...(blobs ? { blobs } : {}),
      ...(dict ? { dict } : {}),
      ...(source.name.startsWith(REGISTRY)
        ? { sourceReference: source.name.slice(REGISTRY.length) }
        : {}),
    });
    const table = layerTable(result.layers);
    if (values['dry-run']) {
      log.info(`nothing was written; these layers would be converted:\n${table}`);
      return;
    }
    await cache?.save(result.layers);
    const seconds = (performance.now() - started) / 1000;
    for (const { source: from, descriptor } of result.images) {
      log.info(`${platformText(from.config.platform)}: ${descriptor.digest}`);
    }
    log.info(`converted ${source.name} to ${target.name}: ${result.digest}\n${table}`);
    if (values['output-json'] !== undefined) {
      writeOutputJson(values['output-json'], conversionMetrics(names, result, seconds), context);
    }
  } finally {
    await open.close();
  }
};

const optionsOf = (values: Values<'convert'>) => ({
  mergePlatform: values['merge-platform'],
  withReferrer: values['with-referrer'],
  memory: byteSize('--memory', values.memory),
  dryRun: values['dry-run'],
  flatten: values.flatten,
  ...(values.workers === undefined ? {} : { workers: values.workers }),
});

/** Converts an image, and shows how far it is. */
const showing = async (
  { log, progress: mode, signal }: CommandContext,
  options: ConvertImageOptions,
): Promise<ConvertedImage> => {
  let display: LayerDisplay | undefined;
  log.beforeRecord = () => display?.hide();
  const onPlan = (layers: readonly LayerProgress[]): void => {
    display = startLayerProgress({ mode, layers });
  };
  try {
    return await convertImage({ ...options, onPlan });
  } finally {
    display?.end(signal.aborted);
  }
};

interface CacheContext {
  conversion: ConversionOptions;
  dict: ImageDict | undefined;
  target: ImageTarget;
  names: ImageNames;
  reach: Reach;
}

/** The build cache, if one is named, and how it is written at the end. */
const openCache = async (
  { 'build-cache': name }: Values<'convert'>,
  { conversion, dict, target, names, reach }: CacheContext,
  { log, signal }: CommandContext,
) => {
  if (name === undefined) return undefined;
  const settings = planConversion(conversion);
  checkCacheable(settings);
  const given: TransportOptions = reach.target;
  const from = await openImageSource(name, given);
  const notice = (text: string): void => log.info(text);
  const layers = await openLayerCache({ from, target, settings, dict, signal, notice });
  return {
    layers,
    async save(done: readonly LayerProgress[]): Promise<void> {
      const open = new Opened();
      try {
        const made = open.add(await openImageSource(names.target, given));
        const into = open.add(await openImageTarget(name, given));
        const before = layers.records;
        await saveLayerCache(done, { made, before, cache: from, into, settings, dict, signal });
      } finally {
        await open.close();
      }
    },
    close: () => from.close(),
  };
};

/** What is to be closed at the end, the last first. */
class Opened {
  readonly #all: { close(): Promise<void> }[] = [];

  add<T extends { close(): Promise<void> }>(one: T): T {
    this.#all.push(one);
    return one;
  }

  async close(): Promise<void> {
    const last = this.#all.pop();
    if (!last) return;
    try {
      await last.close();
    } finally {
      await this.close();
    }
  }
}

/** Where nothing is ever written. */
const nowhere = (name: string): ImageTarget => {
  const refuse = (): never => {
    throw new Error('a dry run writes nothing');
  };
  return { name, has: refuse, put: refuse, putManifest: refuse, close: async () => {} };
};
