/** convert: makes a Nydus image of a container image, or the other way round. */
import { versionOf } from '../../lib/model/version.js';
import { platformText } from '../../lib/oci/platform.js';
import { convertImage, type ConvertedImage } from '../../streams/convert/convert-image.js';
import type { LayerProgress } from '../../streams/convert/layer-queue.js';
import {
  checkCacheable,
  openLayerCache,
  saveLayerCache,
} from '../../streams/convert/layer-cache.js';
import { planConversion, type ConversionOptions } from '../../streams/convert/settings.js';
import { reverseImage } from '../../streams/nydus/reverse-image.js';
import {
  openImageSource,
  openImageTarget,
  type TransportOptions,
} from '../../streams/transport/open-transport.js';
import { collectSeldom } from '../memory.js';
import type { ImageTarget } from '../../streams/transport/target.js';
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext } from '../cli/context.js';
import { layerTable, startLayerProgress, type LayerDisplay } from '../console/layer-progress.js';
import { byteSize, imageNames, platformsOf, transportOptions } from '../cli/image-names.js';
import { writeOutputJson } from '../console/output-json.js';
import { readPatterns } from '../cli/read-patterns.js';

type ConvertInvocation = Extract<Invocation, { command: 'convert' }>;
type Values = ConvertInvocation['values'];

/** How names of images in registries begin. */
const REGISTRY = 'docker://';

export const convert = async (
  { values, positionals }: ConvertInvocation,
  context: CommandContext,
): Promise<void> => {
  const { log, signal } = context;
  collectSeldom();
  const names = imageNames(values, positionals);
  const reach = transportOptions(values, context);
  const prefetch = await prefetchOf(values, warning => log.warn(warning));
  const memory = byteSize('--memory', values.memory);
  const source = await openImageSource(names.source, reach.source);
  try {
    const target = values['dry-run']
      ? nowhere(names.target)
      : await openImageTarget(names.target, reach.target);
    try {
      const platforms = platformsOf(values) ?? 'host';
      if (values.reverse) {
        const { digest } = await reverseImage({
          source,
          target,
          platforms,
          signal,
          onNotice: text => log.info(text),
        });
        log.info(`converted ${source.name} back to ${target.name}: ${digest}`);
        return;
      }
      const conversion = conversionOf(values, prefetch);
      const cacheName = values['build-cache'];
      const cache =
        cacheName === undefined
          ? undefined
          : await openCache(cacheName, { conversion, target, reach: reach.target }, context);
      const started = performance.now();
      let display: LayerDisplay | undefined;
      log.beforeRecord = () => display?.hide();
      const result = await convertImage({
        source,
        target,
        ...conversion,
        ...(cache ? { cache: cache.layers } : {}),
        platforms,
        mergePlatform: values['merge-platform'],
        withReferrer: values['with-referrer'],
        memory,
        ...(values.workers === undefined ? {} : { workers: values.workers }),
        ...(source.name.startsWith(REGISTRY)
          ? { sourceReference: source.name.slice(REGISTRY.length) }
          : {}),
        dryRun: values['dry-run'],
        signal,
        onPlan: layers => {
          display = startLayerProgress({ mode: context.progress, layers });
        },
        onNotice: text => log.info(text),
      })
        .then(async made => {
          if (!values['dry-run']) await cache?.save(made.layers, names.target);
          return made;
        })
        .finally(async () => {
          display?.end(signal.aborted);
          await cache?.close();
        });
      if (values['dry-run']) {
        log.info(
          `nothing was written; these layers would be converted:\n${layerTable(result.layers)}`,
        );
        return;
      }
      const seconds = (performance.now() - started) / 1000;
      for (const { source: from, descriptor } of result.images) {
        log.info(`${platformText(from.config.platform)}: ${descriptor.digest}`);
      }
      log.info(
        `converted ${source.name} to ${target.name}: ${result.digest}\n${layerTable(result.layers)}`,
      );
      if (values['output-json'] !== undefined) {
        writeOutputJson(values['output-json'], metrics(names, result, seconds), context);
      }
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
};

const conversionOf = (values: Values, prefetch: readonly string[]): ConversionOptions => ({
  mode: values['oci-ref'] ? 'zran' : values.mode,
  fsVersion: versionOf(values['fs-version']),
  compressor: values.compressor,
  chunkSize: values['chunk-size'],
  batchSize: values['batch-size'],
  alignedChunk: values['aligned-chunk'],
  encrypt: values.encrypt,
  prefetch,
});

interface CacheContext {
  conversion: ConversionOptions;
  target: ImageTarget;
  reach: TransportOptions;
}

/** The build cache of that name, and how it is written at the end. */
const openCache = async (
  name: string,
  { conversion, target, reach }: CacheContext,
  { log, signal }: CommandContext,
) => {
  const settings = planConversion(conversion);
  checkCacheable(settings);
  const from = await openImageSource(name, reach);
  const notice = (text: string): void => log.info(text);
  const layers = await openLayerCache({ from, target, settings, signal, notice });
  return {
    layers,
    async save(done: readonly LayerProgress[], targetName: string): Promise<void> {
      const made = await openImageSource(targetName, reach);
      try {
        const into = await openImageTarget(name, reach);
        try {
          const before = layers.records;
          await saveLayerCache(done, { made, before, cache: from, into, settings, signal });
        } finally {
          await into.close();
        }
      } finally {
        await made.close();
      }
    },
    close: () => from.close(),
  };
};

/** Where nothing is ever written. */
const nowhere = (name: string): ImageTarget => {
  const refuse = (): never => {
    throw new Error('a dry run writes nothing');
  };
  return { name, has: refuse, put: refuse, putManifest: refuse, close: async () => {} };
};

const prefetchOf = async (
  values: Values,
  warn: (text: string) => void,
): Promise<readonly string[]> => {
  if (values['prefetch-dir'] !== undefined) return [values['prefetch-dir']];
  if (!values['prefetch-patterns']) return ['/'];
  const { patterns, warnings } = await readPatterns('fs');
  for (const warning of warnings) warn(warning);
  return patterns.map(pattern => `/${pattern}`);
};

/** What nydusify writes of a conversion. */
const metrics = (
  names: { source: string; target: string },
  { images, layers }: ConvertedImage,
  seconds: number,
): string => {
  const sum = (size: (layer: LayerProgress) => number): number =>
    layers.reduce((total, layer) => total + size(layer), 0);
  const bootstraps = images.reduce((total, { bootstrapLayer }) => total + bootstrapLayer.size, 0);
  return JSON.stringify({
    SourceImage: names.source,
    TargetImage: names.target,
    SourceImageSize: sum(({ layer }) => layer.size),
    TargetImageSize: sum(({ blob }) => blob?.size ?? 0) + bootstraps,
    ConversionElapsed: Math.round(seconds * 1000),
  });
};
