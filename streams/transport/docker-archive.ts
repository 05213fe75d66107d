/**
 * What `docker save` writes: `docker-archive:FILE[:NAME]`. Its layers are named by `manifest.json`,
 * without digests; those of plain tars are the diff ids of the config, others are computed.
 */
import { createHash } from 'node:crypto';
import { RafsError } from '../../lib/errors.js';
import { parseConfig } from '../../lib/oci/config.js';
import type { Descriptor, RawManifest } from '../../lib/oci/descriptor.js';
import { isObject, type JsonObject } from '../../lib/oci/json.js';
import { manifestBytes } from '../../lib/oci/manifest.js';
import { MediaType } from '../../lib/oci/media-types.js';
import { layerType, sniff, SNIFFED_SIZE } from '../layer/decompress.js';
import { openArchive, type ArchiveOptions } from './archive-store.js';
import { readDocument, readWhole, type FileStore } from './file-store.js';
import type { ImageSource } from './source.js';

const LIST = 'manifest.json';

export const openDockerArchive = async (
  file: string,
  wanted: string | undefined,
  options: ArchiveOptions = {},
): Promise<ImageSource> => {
  const store = await openArchive(file, options);
  const name = `docker-archive:${file}${wanted === undefined ? '' : `:${wanted}`}`;
  const files = new Map<string, string>(); // by digest
  let made: Promise<RawManifest> | undefined;
  const known = (digest: string): string => {
    const found = files.get(digest);
    if (found !== undefined) return found;
    throw new RafsError('BACKEND', 'the image has no such blob', { digest, image: name });
  };
  return {
    name,
    async manifest(digest) {
      const manifest = await (made ??= manifestOf(store, wanted, files, name));
      if (digest === undefined || digest === manifest.digest) return manifest;
      throw new RafsError('BACKEND', 'the image has no such manifest', { digest, image: name });
    },
    open: async ({ digest }, range) => store.open(known(digest), range),
    close: () => store.close(),
  };
};

/** A manifest for an image that has none. */
const manifestOf = async (
  store: FileStore,
  wanted: string | undefined,
  files: Map<string, string>,
  image: string,
): Promise<RawManifest> => {
  const { config: configFile, layers: layerFiles } = await chosen(store, wanted, image);
  const configBytes = await readDocument(store, configFile);
  const configDigest = sha256(configBytes);
  files.set(configDigest, configFile);
  const { diffIds } = parseConfig(configBytes, configDigest);
  if (diffIds.length !== layerFiles.length) {
    const counts = `${layerFiles.length} layers for ${diffIds.length} diff ids`;
    throw new RafsError('CORRUPT', counts, { archive: image });
  }
  const layers: Descriptor[] = [];
  for (const [i, file] of layerFiles.entries()) {
    const size = await store.find(file);
    if (size === undefined) throw new RafsError('CORRUPT', 'a file is missing', { file });
    const head = await readWhole(
      await store.open(file, { length: Math.min(size, SNIFFED_SIZE) }),
      SNIFFED_SIZE,
      file,
    );
    const compression = sniff(head, { file });
    const digest = compression === 'none' ? diffIds[i]! : await digestOf(store, file);
    files.set(digest, file);
    layers.push({ mediaType: layerType(compression), digest, size });
  }
  const bytes = manifestBytes({
    config: { mediaType: MediaType.CONFIG, digest: configDigest, size: configBytes.length },
    layers,
  });
  return { bytes, mediaType: MediaType.MANIFEST, digest: sha256(bytes) };
};

const sha256 = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const digestOf = async (store: FileStore, file: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const piece of await store.open(file)) hash.update(piece as Buffer);
  return `sha256:${hash.digest('hex')}`;
};

const chosen = async (
  store: FileStore,
  wanted: string | undefined,
  image: string,
): Promise<{ config: string; layers: string[] }> => {
  const at = { archive: image };
  if ((await store.find(LIST)) === undefined) {
    throw new RafsError('CORRUPT', 'not an archive of docker save: it has no manifest.json', at);
  }
  let list: unknown;
  try {
    list = JSON.parse((await readDocument(store, LIST)).toString('utf8'));
  } catch (cause) {
    if (cause instanceof RafsError) throw cause;
    throw new RafsError('CORRUPT', 'manifest.json is not JSON', at, { cause });
  }
  if (!Array.isArray(list) || !list.every(isObject)) {
    throw new RafsError('CORRUPT', 'manifest.json is not a list of images', at);
  }
  const images: JsonObject[] = list;
  const namesOf = ({ RepoTags: tags }: JsonObject): unknown[] => (Array.isArray(tags) ? tags : []);
  const found =
    wanted === undefined
      ? images
      : images.filter(one => namesOf(one).some(tag => isNamed(tag, wanted)));
  if (found.length !== 1) {
    const listed = images.flatMap(namesOf).join(', ') || 'none has a name';
    const why = images.length === 0 ? 'there is no image' : `name one of the images: ${listed}`;
    throw new RafsError('USAGE', why, at);
  }
  const { Config: config, Layers: layers } = found[0]!;
  if (typeof config !== 'string' || !Array.isArray(layers)) {
    throw new RafsError('CORRUPT', 'manifest.json names no config or no layers', at);
  }
  return { config, layers: layers.map(String) };
};

/** Whether a tag is the one asked for, in full or without the registry. */
const isNamed = (tag: unknown, wanted: string): boolean =>
  typeof tag === 'string' &&
  (tag === wanted || tag === `${wanted}:latest` || tag.endsWith(`/${wanted}`));
