/** Images as commands name them: as arguments, or by the options of nydusify. */
import type { CommandContext } from './context.js';
import { parseByteSize } from '../../lib/config/size.js';
import { RafsError } from '../../lib/errors.js';
import { parsePlatform } from '../../lib/oci/platform.js';
import type { Platforms } from '../../streams/convert/select-images.js';
import { parseReference } from '../../lib/oci/reference.js';
import { parseImageName, type TransportOptions } from '../../streams/transport/open-transport.js';

export interface ImageNames {
  source: string;
  target: string;
}

interface NameValues {
  readonly source: string | undefined;
  readonly target: string | undefined;
  readonly 'source-archive': string | undefined;
  readonly 'target-archive': string | undefined;
  /** of nydusify: the target is the source with this after its tag */
  readonly 'target-suffix'?: string | undefined;
}

/** SOURCE and TARGET. */
export const imageNames = (values: NameValues, [source, target]: readonly string[]): ImageNames => {
  const archive = (file: string | undefined): string | undefined =>
    file === undefined ? undefined : `oci-archive:${file}`;
  const from = source ?? archive(values['source-archive']) ?? values.source;
  const suffix = values['target-suffix'];
  const suffixed =
    suffix === undefined || from === undefined ? undefined : withSuffix(from, suffix);
  const to = target ?? archive(values['target-archive']) ?? values.target ?? suffixed;
  if (from === undefined || to === undefined) {
    throw new RafsError('USAGE', `the ${from === undefined ? 'source' : 'target'} is missing`);
  }
  return { source: from, target: to };
};

const withSuffix = (source: string, suffix: string): string => {
  const { transport, location } = parseImageName(source);
  if (transport !== 'docker') {
    throw new RafsError('USAGE', '--target-suffix is for images of a registry');
  }
  const { host, repository, tag, digest } = parseReference(location);
  if (digest !== undefined) {
    throw new RafsError('USAGE', `--target-suffix needs a tag, not a digest: '${source}'`);
  }
  return `docker://${host}/${repository}:${tag ?? 'latest'}${suffix}`;
};

interface TransportValues {
  readonly 'source-insecure': boolean;
  readonly 'target-insecure': boolean;
  readonly 'chunk-dict-insecure'?: boolean;
  readonly 'plain-http'?: boolean;
  readonly 'spool-limit'?: string;
}

/** How the source and the target are reached. */
export const transportOptions = (
  values: TransportValues,
  { signal, fsync }: Pick<CommandContext, 'signal' | 'fsync'>,
): { source: TransportOptions; target: TransportOptions; dict: TransportOptions } => {
  const { 'spool-limit': limit } = values;
  const plain = values['plain-http'] === true;
  const common = {
    signal,
    fsync,
    ...(limit === undefined ? {} : { spoolLimit: byteSize('--spool-limit', limit) }),
  };
  return {
    source: { ...common, insecure: plain || values['source-insecure'] },
    target: { ...common, insecure: plain || values['target-insecure'] },
    dict: { ...common, insecure: plain || values['chunk-dict-insecure'] === true },
  };
};

export const byteSize = (option: string, text: string): number => {
  const size = parseByteSize(text);
  if (size !== undefined) return size;
  throw new RafsError('USAGE', `invalid size '${text}' for '${option}'`);
};

/** The platforms that are asked for; undefined if the command's own choice is. */
export const platformsOf = (values: {
  readonly platform: readonly string[] | undefined;
  readonly 'all-platforms': boolean;
}): Platforms | undefined =>
  values['all-platforms'] ? 'all' : values.platform?.map(parsePlatform);
