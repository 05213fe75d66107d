/** convert: makes a Nydus image of a container image, or the other way round. */
import { writeFileSync } from 'node:fs';
import { parseByteSize } from '../../lib/config/size.js';
import { RafsError } from '../../lib/errors.js';
import { parsePlatform, platformText } from '../../lib/oci/platform.js';
import {
  convertImage,
  type ConvertedImage,
  type LayerProgress,
} from '../../streams/convert/convert-image.js';
import { openImageSource, openImageTarget } from '../../streams/transport/open-transport.js';
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext } from '../cli/context.js';
import { readPatterns } from '../cli/read-patterns.js';

type ConvertInvocation = Extract<Invocation, { command: 'convert' }>;
type Values = ConvertInvocation['values'];

export const convert = async (
  { values, positionals }: ConvertInvocation,
  context: CommandContext,
): Promise<void> => {
  const { log, signal } = context;
  const names = imageNames(values, positionals);
  const prefetch = await prefetchOf(values, warning => log.warn(warning));
  const memory = byteSize('--memory', values.memory);
  const spoolLimit = byteSize('--spool-limit', values['spool-limit']);
  const source = await openImageSource(names.source, {
    signal,
    spoolLimit,
    insecure: values['source-insecure'] || values['plain-http'],
  });
  try {
    const target = await openImageTarget(names.target, {
      signal,
      insecure: values['target-insecure'] || values['plain-http'],
    });
    try {
      const started = performance.now();
      const result = await convertImage({
        source,
        target,
        mode: values['oci-ref'] ? 'zran' : values.mode,
        fsVersion: values['fs-version'] === '5' ? 5 : 6,
        compressor: values.compressor,
        chunkSize: values['chunk-size'],
        batchSize: values['batch-size'],
        alignedChunk: values['aligned-chunk'],
        encrypt: values.encrypt,
        prefetch,
        platforms: values['all-platforms']
          ? 'all'
          : (values.platform?.map(parsePlatform) ?? 'host'),
        mergePlatform: values['merge-platform'],
        withReferrer: values['with-referrer'],
        memory,
        ...(values.workers === undefined ? {} : { workers: values.workers }),
        signal,
        onNotice: text => log.info(text),
      });
      const seconds = (performance.now() - started) / 1000;
      for (const { source: from, descriptor } of result.images) {
        log.info(`${platformText(from.config.platform)}: ${descriptor.digest}`);
      }
      log.info(`converted ${source.name} to ${target.name}: ${result.digest}`);
      if (values['output-json'] !== undefined) {
        writeFileSync(values['output-json'], metrics(names, result, seconds));
      }
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
};

/** SOURCE and TARGET, also by nydusify's options. */
const imageNames = (
  values: Values,
  [source, target]: readonly string[],
): { source: string; target: string } => {
  const archive = (file: string | undefined): string | undefined =>
    file === undefined ? undefined : `oci-archive:${file}`;
  const from = source ?? archive(values['source-archive']) ?? values.source;
  const to = target ?? archive(values['target-archive']) ?? values.target;
  if (from === undefined || to === undefined) {
    throw new RafsError('USAGE', `the ${from === undefined ? 'source' : 'target'} is missing`);
  }
  return { source: from, target: to };
};

const byteSize = (option: string, text: string): number => {
  const size = parseByteSize(text);
  if (size !== undefined) return size;
  throw new RafsError('USAGE', `invalid size '${text}' for '${option}'`);
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
