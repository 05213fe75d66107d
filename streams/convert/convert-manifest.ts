/** Converts the image of one platform: its layers, bootstrap, config and manifest. */
import { RAFS_VERSIONS, type RafsVersion } from '../../lib/model/version.js';
import { createHash } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { RafsError } from '../../lib/errors.js';
import type { ChunkDict } from '../../lib/image/chunk-dict.js';
import { Annotation } from '../../lib/oci/annotations.js';
import { bootstrapTar } from '../../lib/oci/bootstrap-layer.js';
import {
  BOOTSTRAP_HISTORY,
  configBytes,
  parseConfig,
  type ImageConfig,
} from '../../lib/oci/config.js';
import { parseDigest, type Descriptor, type RawManifest } from '../../lib/oci/descriptor.js';
import { manifestBytes, type Manifest } from '../../lib/oci/manifest.js';
import { checkLayerType, MediaType, ociType } from '../../lib/oci/media-types.js';
import { checkDocument } from '../transport/layout-source.js';
import { readWhole } from '../transport/file-store.js';
import type { ImageSource } from '../transport/source.js';
import type { BlobStore } from '../transport/blob-store.js';
import type { ImageTarget, PutOptions } from '../transport/target.js';
import type { ConvertedLayer } from './convert-layer.js';
import { mergeLayers } from './merge-layers.js';
import { restarting } from './restarting.js';
import type { ConversionSettings } from './settings.js';

/** A dictionary of chunks, and where the blobs with those chunks are. */
export interface ImageDict {
  chunks: ChunkDict;
  bootstrap: Bootstrap;
  /** equal for equal dictionaries */
  digest: string;
  /** absent if it is only known what the chunks are */
  image?: { source: ImageSource; layers: readonly Descriptor[] };
}

/** The manifest and the config that an image is converted from. */
export interface SourceImage {
  raw: RawManifest;
  manifest: Manifest;
  config: ImageConfig;
  /** the config as it is stored */
  configBytes: Buffer;
}

/** Most bytes of a config. */
const MOST_CONFIG = 0x400_0000;

/** Reads what an image consists of. Fails with UNSUPPORTED for what is not a container's image. */
export const readSourceImage = async (
  source: ImageSource,
  raw: RawManifest,
  manifest: Manifest,
): Promise<SourceImage> => {
  const at = { image: source.name, manifest: raw.digest };
  const { config, layers } = manifest;
  const type = ociType(config.mediaType);
  if (type !== MediaType.CONFIG && type !== MediaType.NYDUS_CONFIG) {
    throw new RafsError(
      'UNSUPPORTED',
      `not a container image: its config has the media type ${type}`,
      at,
    );
  }
  const bytes = await readWhole(
    await source.open(config),
    Math.min(config.size, MOST_CONFIG),
    config.digest,
  );
  checkDocument(bytes, config.digest);
  const parsed = parseConfig(bytes, config.digest);
  if (parsed.diffIds.length !== layers.length) {
    const counts = `${layers.length} layers for ${parsed.diffIds.length} diff ids`;
    throw new RafsError('CORRUPT', `the image has ${counts}`, at);
  }
  return { raw, manifest, config: parsed, configBytes: bytes };
};

/** Refuses an image before any work is done on it. */
export const checkConvertible = ({ raw, manifest: { layers } }: SourceImage): void => {
  const at = { manifest: raw.digest };
  if (layers.at(-1)?.annotations?.[Annotation.BOOTSTRAP] !== undefined) {
    throw new RafsError('UNSUPPORTED', 'the source is already a Nydus image', at);
  }
  if (layers.length === 0) throw new RafsError('UNSUPPORTED', 'the image has no layers', at);
  for (const { mediaType, digest } of layers) checkLayerType(mediaType, digest);
};

export interface ManifestOptions {
  settings: ConversionSettings;
  dict?: ImageDict | undefined;
  /** has the blobs of layers, which the manifest then does not name */
  blobs?: BlobStore | undefined;
  /** the source manifest becomes the subject of the new one */
  withReferrer?: boolean;
  /** the config's media type, if it must not be taken for an ordinary image */
  configType?: string;
  sourceReference?: string | undefined;
  signal: AbortSignal;
}

/** What was made, before it is named by anything. */
export interface ConvertedManifest {
  manifest: Manifest;
  bytes: Buffer;
  layers: readonly ConvertedLayer[];
  bootstrapLayer: Descriptor & { diffId: string };
}

/** Puts together what `convertLayer` made of every layer; all but the manifest is stored. */
export const assembleImage = async (
  image: SourceImage,
  layers: readonly ConvertedLayer[],
  target: ImageTarget,
  { settings, dict, blobs, signal, ...options }: ManifestOptions,
): Promise<ConvertedManifest> => {
  const { mode, build, prefetch } = settings;
  const merged = await mergeLayers(layers, { prefetch, dict: dict?.bootstrap });
  const data = layers.map(layer => dataLayer(layer, settings));
  if (mode !== 'zran') {
    const known = new Set(data.map(({ digest }) => digest));
    for (const { id } of merged.blobs) {
      const digest = `sha256:${id}`;
      if (!known.has(digest)) data.push(await dictLayer(digest, dict, blobs ?? target, signal));
    }
  }
  const named = blobs ? [] : data;
  const metas =
    !RAFS_VERSIONS[build.fsVersion].hasToc || build.encrypt || mode === 'tarfs'
      ? []
      : distinct(layers).map(({ blob, meta }) => ({
          id: parseDigest(blob.digest).hex,
          bytes: meta,
        }));
  const { secret } = merged.bootstrap;
  const bootstrapLayer = await putBootstrap(
    bootstrapTar(merged.bootstrap, metas),
    target,
    build.fsVersion,
    { signal, secret },
  );
  const { diffId, ...last } = bootstrapLayer;
  const config = configBytes(image.config, {
    diffIds: [...named.map(({ digest }) => digest), diffId],
    // there are no layers then that the source's could speak of
    history: [...(blobs ? [] : image.config.history), BOOTSTRAP_HISTORY],
  });
  const storedConfig = await putBytes(target, config, signal);
  const { raw } = image;
  const manifest: Manifest = {
    kind: 'manifest',
    mediaType: MediaType.MANIFEST,
    ...(options.withReferrer ? { artifactType: MediaType.NYDUS_MANIFEST } : {}),
    config: { mediaType: options.configType ?? MediaType.CONFIG, ...storedConfig },
    layers: [...named, last],
    ...(options.withReferrer ? { subject: subjectOf(raw) } : {}),
    annotations: {
      ...image.manifest.annotations,
      [Annotation.FS_VERSION]: String(build.fsVersion),
      [Annotation.SOURCE_DIGEST]: raw.digest,
      ...(options.sourceReference === undefined
        ? {}
        : { [Annotation.SOURCE_REFERENCE]: options.sourceReference }),
    },
  };
  return { manifest, bytes: manifestBytes(manifest), layers, bootstrapLayer };
};

const subjectOf = ({ mediaType, digest, bytes }: RawManifest): Descriptor => ({
  mediaType,
  digest,
  size: bytes.length,
});

/** Each blob once: the same layer may occur twice. */
const distinct = (layers: readonly ConvertedLayer[]): ConvertedLayer[] => [
  ...new Map(layers.map(layer => [layer.blob.digest, layer])).values(),
];

const dataLayer = (
  { source, blob }: ConvertedLayer,
  { mode, build }: ConversionSettings,
): Descriptor => ({
  mediaType: MediaType.NYDUS_BLOB,
  ...blob,
  annotations: {
    [Annotation.BLOB]: 'true',
    ...(mode === 'zran' ? { [Annotation.REFERENCE]: source.digest } : {}),
    ...(build.encrypt ? { [Annotation.ENCRYPTED]: 'true' } : {}),
  },
});

/** A blob of the dictionary that the image needs, brought to where the others are. */
const dictLayer = async (
  digest: string,
  dict: ImageDict | undefined,
  target: BlobTarget,
  signal: AbortSignal,
): Promise<Descriptor> => {
  const layer = {
    mediaType: MediaType.NYDUS_BLOB,
    digest,
    size: 0,
    annotations: { [Annotation.BLOB]: 'true' },
  };
  const found = dict?.image?.layers.find(one => one.digest === digest);
  if (dict?.image && found) {
    await copyBlob(found, dict.image.source, target, signal);
    return { ...layer, size: found.size };
  }
  // a storage without manifests may have had it before
  if (!target.mount && (await target.has({ digest }))) return layer;
  throw new RafsError('CORRUPT', 'a blob of the dictionary is missing', { digest });
};

/** What takes blobs: a target, or a storage of blobs alone. */
type BlobTarget = Pick<ImageTarget, 'has' | 'put' | 'mount'>;

/** Brings a blob into a target unless it is there: without the bytes if the target can do that. */
export const copyBlob = async (
  blob: Pick<Descriptor, 'digest'> & Partial<Descriptor>,
  source: ImageSource,
  target: BlobTarget,
  signal: AbortSignal,
  secret = false,
): Promise<'there' | 'mounted' | 'copied'> => {
  const { digest, size } = blob;
  if (await target.has(blob)) return 'there';
  const described = { mediaType: MediaType.LAYER_GZIP, size: 0, ...blob };
  if (await target.mount?.(described, source)) return 'mounted';
  await restarting(async () => {
    const bytes = (await source.open(blob, { signal })) as AsyncIterable<Buffer>;
    await target.put(bytes, { digest, ...(size === undefined ? {} : { size }), signal, secret });
  }, signal);
  return 'copied';
};

export const putBytes = async (
  target: ImageTarget,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<{ digest: string; size: number }> => {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const blob = { digest, size: bytes.length };
  if (await target.has(blob)) return blob;
  return target.put(Readable.from([bytes], { objectMode: true }), { ...blob, signal });
};

const putBootstrap = async (
  tar: Iterable<Buffer>,
  target: ImageTarget,
  fsVersion: RafsVersion,
  options: Pick<PutOptions, 'signal' | 'secret'>,
): Promise<Descriptor & { diffId: string }> => {
  const hash = createHash('sha256');
  function* hashed(): Generator<Buffer> {
    for (const piece of tar) {
      hash.update(piece);
      yield piece;
    }
  }
  const blob = await target.put(gzipped(hashed()), options);
  return {
    mediaType: MediaType.LAYER_GZIP,
    ...blob,
    annotations: {
      [Annotation.BOOTSTRAP]: 'true',
      [Annotation.FS_VERSION]: String(fsVersion),
    },
    diffId: `sha256:${hash.digest('hex')}`,
  };
};

/** The operating system in a gzip's header: unknown, whatever this one is. */
const OS_OFFSET = 9;
const OS_UNKNOWN = 255;

/** Pieces are gathered, since each that goes to the compressor costs a trip to another thread. */
const GATHERED = 0x40000;

export async function* gzipped(
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const gzip = createGzip();
  // failures surface when the compressor is read
  pipeline(Readable.from(gathered(pieces), { objectMode: true }), gzip, () => undefined);
  let first = true;
  for await (const made of gzip) {
    const bytes = made as Buffer; // a stream without an encoding
    if (first) bytes[OS_OFFSET] = OS_UNKNOWN;
    first = false;
    yield bytes;
  }
}

async function* gathered(pieces: Iterable<Buffer> | AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let size = 0;
  for await (const piece of pieces) {
    held.push(piece);
    size += piece.length;
    if (size < GATHERED) continue;
    yield Buffer.concat(held);
    held = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(held);
}
