/** What options of `convert` mean: how layers are converted, and what they may refer to. */
import { RafsError } from '../../lib/errors.js';
import { versionOf } from '../../lib/model/version.js';
import type { ImageDict } from '../../streams/convert/convert-manifest.js';
import type { ConversionOptions } from '../../streams/convert/settings.js';
import { openDictFile, openImageDict } from '../../streams/nydus/image-dict.js';
import { openImageSource, type TransportOptions } from '../../streams/transport/open-transport.js';
import type { Invocation } from './command-line.js';
import { readPatterns } from './read-patterns.js';

type Values = Extract<Invocation, { command: 'convert' }>['values'];

export const conversionOf = (values: Values, prefetch: readonly string[]): ConversionOptions => ({
  mode: values['oci-ref'] ? 'zran' : values.mode,
  fsVersion: versionOf(values['fs-version']),
  compressor: values.compressor,
  chunkSize: values['chunk-size'],
  batchSize: values['batch-size'],
  alignedChunk: values['aligned-chunk'],
  encrypt: values.encrypt,
  prefetch,
});

/** What is prefetched: everything, unless something is said. */
export const prefetchOf = async (
  values: Values,
  warn: (text: string) => void,
): Promise<readonly string[]> => {
  if (values['prefetch-dir'] !== undefined) return [values['prefetch-dir']];
  if (!values['prefetch-patterns']) return ['/'];
  const { patterns, warnings } = await readPatterns('fs');
  for (const warning of warnings) warn(warning);
  return patterns.length === 0 ? ['/'] : patterns.map(pattern => `/${pattern}`);
};

/**
 * What `--chunk-dict` names: `bootstrap:registry:REFERENCE` and `bootstrap:local:FILE` as nydusify
 * has them, or an image as elsewhere.
 */
export const parseDictName = (given: string): { kind: 'image' | 'file'; name: string } => {
  const [, format, source, name] = /^([^:]*):([^:]*):(.+)$/s.exec(given) ?? [];
  if (format !== 'bootstrap') return { kind: 'image', name: given };
  if (source === 'registry') return { kind: 'image', name: `docker://${name!}` };
  if (source === 'local') return { kind: 'file', name: name! };
  const known = "'bootstrap:registry:REFERENCE' or 'bootstrap:local:FILE'";
  throw new RafsError('USAGE', `invalid chunk dictionary '${given}', expected ${known}`);
};

export interface OpenDict {
  dict: ImageDict;
  close(): Promise<void>;
}

export const openDict = async (
  given: string,
  conversion: ConversionOptions,
  reach: TransportOptions,
): Promise<OpenDict> => {
  const { kind, name } = parseDictName(given);
  if (kind === 'file') {
    return { dict: await openDictFile(name, conversion), close: () => Promise.resolve() };
  }
  const source = await openImageSource(name, reach);
  try {
    const { signal } = reach;
    const dict = await openImageDict(source, { ...conversion, ...(signal ? { signal } : {}) });
    return { dict, close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
};
