/** Transports by name, as skopeo writes them: what an image is read from and written to. */
import { RafsError } from '../../lib/errors.js';
import type { ArchiveOptions } from './archive-store.js';
import type { ImageSource } from './source.js';
import type { ImageTarget } from './target.js';

export const TRANSPORTS = ['docker', 'oci', 'oci-archive', 'docker-archive'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface ImageName {
  transport: Transport;
  /** reference, directory or file */
  location: string;
  tag?: string;
  digest?: string;
}

/** Splits `oci:dir:tag`, `docker://host/app:1` and so on; what names no transport is `docker://`. */
export const parseImageName = (text: string): ImageName => {
  const [, name, rest = ''] = /^([a-z][a-z0-9-]*):(.*)$/s.exec(text) ?? [];
  if (name === 'docker' && rest.startsWith('//')) {
    return { transport: 'docker', location: rest.slice(2) };
  }
  const local = TRANSPORTS.find(transport => transport === name && transport !== 'docker');
  if (local === undefined) {
    const foreign = /^(containers-storage|dir|docker-daemon|ostree|sif|docker):/.exec(text);
    if (foreign) {
      const known = 'docker://, oci:, oci-archive: and docker-archive:';
      throw new RafsError('USAGE', `unknown transport in '${text}', expected one of ${known}`);
    }
    return { transport: 'docker', location: text };
  }
  const [, pinned = rest, digest] = /^(.*)@(sha(?:256|512):[0-9a-f]+)$/s.exec(rest) ?? [];
  const colon = pinned.indexOf(':');
  const location = colon < 0 ? pinned : pinned.slice(0, colon);
  const tag = colon < 0 ? '' : pinned.slice(colon + 1);
  if (location === '') throw new RafsError('USAGE', `'${text}' names no file`);
  return {
    transport: local,
    location,
    ...(tag === '' ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
};

export interface TransportOptions extends ArchiveOptions {
  /** have every file on the disk before it gets its name; default: true */
  fsync?: boolean;
  /** speak plain HTTP, and TLS without checking certificates */
  insecure?: boolean;
}

/**
 * Opens what an image is read from: `docker://HOST/NAME:TAG`, `oci:DIRECTORY:TAG`,
 * `oci-archive:FILE:TAG` or `docker-archive:FILE:TAG`.
 *
 * @example
 * ```js
 * import { openImageSource } from 'rafs-stream';
 *
 * const source = await openImageSource('oci:image:t');
 * const { bytes } = await source.manifest();
 * console.log(JSON.parse(bytes.toString()).layers.length);
 * await source.close();
 * ```
 */
export const openImageSource = async (
  text: string,
  options: TransportOptions = {},
): Promise<ImageSource> => {
  const { transport, location, tag, digest } = parseImageName(text);
  switch (transport) {
    case 'docker': {
      const { RegistrySource } = await import('./registry.js');
      return new RegistrySource(location, registryOptions(options));
    }
    case 'oci': {
      const { openLayout } = await import('./oci-layout.js');
      return openLayout(location, { tag, digest });
    }
    case 'oci-archive': {
      const { openOciArchive } = await import('./oci-archive.js');
      return openOciArchive(location, { tag, digest }, options);
    }
    case 'docker-archive': {
      const { openDockerArchive } = await import('./docker-archive.js');
      return openDockerArchive(location, tag, options);
    }
  }
};

/**
 * Opens what an image is written to, by the same names except `docker-archive`.
 *
 * @example
 * ```js
 * import { openImageTarget } from 'rafs-stream';
 *
 * const target = await openImageTarget('oci:written:t');
 * const { digest } = await target.put([Buffer.from('{}')], {});
 * console.log(await target.has({ digest }));
 * await target.close();
 * ```
 */
export const openImageTarget = async (
  text: string,
  options: TransportOptions = {},
): Promise<ImageTarget> => {
  const { transport, location, tag, digest } = parseImageName(text);
  if (digest !== undefined) {
    throw new RafsError('USAGE', `an image must be written to a tag, not to a digest: '${text}'`);
  }
  switch (transport) {
    case 'docker': {
      const { RegistryTarget } = await import('./registry.js');
      return new RegistryTarget(location, registryOptions(options));
    }
    case 'oci': {
      const { layoutTarget } = await import('./oci-layout.js');
      return layoutTarget(location, tag, options);
    }
    case 'oci-archive': {
      const { archiveTarget } = await import('./oci-archive.js');
      return archiveTarget(location, tag, options);
    }
    case 'docker-archive':
      throw new RafsError(
        'USAGE',
        'a docker-archive can only be read: write an oci-archive instead',
      );
  }
};

const registryOptions = ({
  insecure = false,
  signal,
}: TransportOptions): { insecure: boolean; signal?: AbortSignal } => ({
  insecure,
  ...(signal ? { signal } : {}),
});
