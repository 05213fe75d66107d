/** Manifests and indexes, read with every field checked that is used, and written. */
import { corrupt, RafsError } from '../errors.js';
import { parseDigest, type Descriptor, type Platform, type RawManifest } from './descriptor.js';
import { isObject, parseObject, toJson, type JsonObject } from './json.js';
import { MediaType, ociType } from './media-types.js';

export interface Manifest {
  kind: 'manifest';
  mediaType: string;
  artifactType?: string;
  config: Descriptor;
  layers: Descriptor[];
  subject?: Descriptor;
  annotations?: Record<string, string>;
}

export interface Index {
  kind: 'index';
  mediaType: string;
  artifactType?: string;
  manifests: Descriptor[];
  subject?: Descriptor;
  annotations?: Record<string, string>;
}

const MOST_DESCRIPTORS = 0x10000;

/** Reads a manifest or index of OCI or Docker. Its type may be missing inside, and in its place. */
export const parseManifest = ({ bytes, mediaType, digest }: RawManifest): Manifest | Index => {
  const at = { manifest: digest };
  const value = parseObject(bytes, 'manifest', at);
  const said = value.mediaType;
  if (said !== undefined && said !== '' && typeof said !== 'string') {
    throw corrupt('the media type of a manifest is not a string', at);
  }
  if (value.schemaVersion === 1 || /manifest\.v1\+(json|prettyjws)$/.test(docker(mediaType))) {
    throw new RafsError(
      'UNSUPPORTED',
      'a manifest of schema 1, which Docker wrote before 2016, cannot be read: push the image again with a current program',
      at,
    );
  }
  const hasManifests = Array.isArray(value.manifests);
  const hasLayers = Array.isArray(value.layers) || isObject(value.config);
  if (hasManifests && hasLayers) throw corrupt('a manifest is both an image and an index', at);
  const type = ociType(
    typeof said === 'string' && said !== ''
      ? said
      : hasManifests
        ? MediaType.INDEX
        : MediaType.MANIFEST,
  );
  const common = {
    mediaType: type,
    ...optionalString(value, 'artifactType', digest),
    ...(value.subject === undefined ? {} : { subject: descriptor(value.subject, digest) }),
    ...annotationsIn(value, digest),
  };
  if (type === MediaType.INDEX && hasManifests) {
    return { kind: 'index', ...common, manifests: list(value.manifests, digest) };
  }
  if (type === MediaType.MANIFEST && isObject(value.config)) {
    return {
      kind: 'manifest',
      ...common,
      config: descriptor(value.config, digest),
      layers: list(value.layers ?? [], digest),
    };
  }
  throw new RafsError('UNSUPPORTED', `not a manifest of an image: ${said ?? mediaType}`, at);
};

const docker = (mediaType: string): string =>
  mediaType.startsWith('application/vnd.docker.') ? mediaType : '';

const list = (value: unknown, digest: string): Descriptor[] => {
  const at = { manifest: digest };
  if (!Array.isArray(value)) throw corrupt('the layers of a manifest are not a list', at);
  if (value.length > MOST_DESCRIPTORS) {
    throw new RafsError(
      'LIMIT',
      `a manifest with ${value.length} entries exceeds the limit of ${MOST_DESCRIPTORS}`,
      at,
    );
  }
  return value.map(entry => descriptor(entry, digest));
};

const descriptor = (value: unknown, manifest: string): Descriptor => {
  const at = { manifest };
  if (!isObject(value)) throw corrupt('a descriptor is not an object', at);
  const { mediaType = '', digest, size } = value;
  if (typeof mediaType !== 'string') {
    throw corrupt('the media type of a descriptor is not a string', at);
  }
  if (typeof digest !== 'string') throw corrupt('a descriptor has no digest', at);
  parseDigest(digest);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw corrupt(`invalid descriptor size ${JSON.stringify(size)}`, { ...at, digest });
  }
  const { urls } = value;
  return {
    mediaType,
    digest,
    size,
    ...annotationsIn(value, manifest),
    ...(value.platform === undefined ? {} : { platform: platformOf(value.platform, at) }),
    ...(Array.isArray(urls) ? { urls: urls.filter(url => typeof url === 'string') } : {}),
    ...optionalString(value, 'artifactType', manifest),
    ...optionalString(value, 'data', manifest),
  };
};

const platformOf = (value: unknown, at: { manifest: string }): Platform => {
  if (!isObject(value)) throw corrupt('a platform is not an object', at);
  const { architecture = '', os = '', variant, 'os.version': version } = value;
  if (typeof architecture !== 'string' || typeof os !== 'string') {
    throw corrupt('the names of a platform are not strings', at);
  }
  const features = value['os.features'];
  return {
    architecture,
    os,
    ...(typeof version === 'string' ? { 'os.version': version } : {}),
    ...(Array.isArray(features)
      ? { 'os.features': features.filter(name => typeof name === 'string') }
      : {}),
    ...(typeof variant === 'string' && variant !== '' ? { variant } : {}),
  };
};

const optionalString = <K extends string>(
  value: JsonObject,
  key: K,
  manifest: string,
): { [Name in K]?: string } => {
  const found = value[key];
  if (found === undefined || found === null || found === '') return {};
  // the type has that key or no key
  if (typeof found === 'string') return { [key]: found } as { [Name in K]: string };
  throw corrupt(`${key} is not a string`, { manifest });
};

const annotationsIn = (
  value: JsonObject,
  manifest: string,
): { annotations?: Record<string, string> } => {
  const { annotations } = value;
  if (annotations === undefined || annotations === null) return {};
  if (!isObject(annotations) || Object.values(annotations).some(one => typeof one !== 'string')) {
    throw corrupt('the annotations are not an object of strings', { manifest });
  }
  // every value was looked at
  return { annotations: annotations as Record<string, string> };
};

/** Annotations as they are written: sorted, and none rather than an empty object. */
const written = (
  annotations: Record<string, string> | undefined,
): Record<string, string> | undefined => {
  const entries = Object.entries(annotations ?? {});
  if (entries.length === 0) return undefined;
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
};

/** A descriptor with its fields in the usual order, and no empty ones. */
const writtenDescriptor = (of: Descriptor): JsonObject => ({
  mediaType: of.mediaType,
  digest: of.digest,
  size: of.size,
  urls: of.urls?.length ? of.urls : undefined,
  annotations: written(of.annotations),
  data: of.data,
  platform: of.platform,
  artifactType: of.artifactType,
});

export const manifestBytes = (manifest: Omit<Manifest, 'kind' | 'mediaType'>): Buffer =>
  toJson(
    {
      schemaVersion: 2,
      mediaType: MediaType.MANIFEST,
      artifactType: manifest.artifactType,
      config: writtenDescriptor(manifest.config),
      layers: manifest.layers.map(writtenDescriptor),
      subject: manifest.subject && writtenDescriptor(manifest.subject),
      annotations: written(manifest.annotations),
    },
    2,
  );

export const indexBytes = (index: Omit<Index, 'kind' | 'mediaType'>): Buffer =>
  toJson(
    {
      schemaVersion: 2,
      mediaType: MediaType.INDEX,
      artifactType: index.artifactType,
      manifests: index.manifests.map(writtenDescriptor),
      subject: index.subject && writtenDescriptor(index.subject),
      annotations: written(index.annotations),
    },
    2,
  );
