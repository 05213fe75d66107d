/**
 * Layers that earlier runs have converted: a manifest that lists their blobs, in the form of other
 * converters' build caches. What else an image needs of a layer is read out of its blob.
 */
import { sectionsOfTail, tailSize, unpackSection } from '../../lib/blob/toc.js';
import { sha256 } from '../../lib/crypto/digest.js';
import { describe, RafsError } from '../../lib/errors.js';
import { alignUp } from '../../lib/layout/align.js';
import { Section } from '../../lib/layout/blob.js';
import { BLOCK_SIZE } from '../../lib/layout/tar.js';
import { Annotation } from '../../lib/oci/annotations.js';
import type { Descriptor } from '../../lib/oci/descriptor.js';
import { manifestBytes, parseManifest } from '../../lib/oci/manifest.js';
import { MediaType } from '../../lib/oci/media-types.js';
import { readSectionHeader } from '../../lib/tar/header.js';
import type { ImageSource } from '../transport/source.js';
import type { ImageTarget } from '../transport/target.js';
import type { ConvertedLayer } from './convert-layer.js';
import { copyBlob, putBytes, type ImageDict } from './convert-manifest.js';
import type { LayerCache, LayerProgress } from './layer-queue.js';
import type { ConversionSettings } from './settings.js';
import { sourceReader } from '../transport/source-reader.js';

/** What a layer was converted with: one that was made with other options is another layer. */
const SETTINGS = 'rafs-stream/settings';
const CACHE_VERSION = 'v1';
/** Most layers that a cache lists, those of the last run first. */
const MOST_RECORDS = 200;
/** Chunk tables are cached in whole pages. */
const META_ALIGN = 0x1000;

const settingsKey = ({ key }: ConversionSettings, dict: ImageDict | undefined): string =>
  `sha256:${sha256(Buffer.from(dict ? `${key} ${dict.digest}` : key)).toString('hex')}`;

/** Refuses what a cache cannot hold: blobs without their bootstraps, or with a key of their own. */
export const checkCacheable = ({ mode, build }: ConversionSettings): void => {
  if (mode !== 'tarfs' && !build.encrypt) return;
  const what = build.encrypt ? 'encrypted layers' : 'layers of --mode tarfs';
  throw new RafsError('USAGE', `a build cache cannot hold ${what}`);
};

export interface OpenLayerCache extends LayerCache {
  /** all layers that it lists, whatever they were made with */
  readonly records: readonly Descriptor[];
}

/** Opens the cache in `from`. One that cannot be read is as good as none, which is said. */
export const openLayerCache = async ({
  from,
  target,
  settings,
  dict,
  signal,
  notice,
}: {
  from: ImageSource;
  target: ImageTarget;
  settings: ConversionSettings;
  /** what layers were converted with besides */
  dict?: ImageDict | undefined;
  signal: AbortSignal;
  notice: (text: string) => void;
}): Promise<OpenLayerCache> => {
  const records: Descriptor[] = [];
  try {
    const document = parseManifest(await from.manifest());
    if (document.kind === 'manifest') records.push(...document.layers);
  } catch (error) {
    signal.throwIfAborted();
    notice(`no layers from the build cache: ${describe(error)}`);
  }
  const due = settingsKey(settings, dict);
  const recordOf = (layer: Descriptor): Descriptor | undefined =>
    records.find(
      ({ annotations = {} }) =>
        annotations[Annotation.SOURCE_DIGEST] === layer.digest && annotations[SETTINGS] === due,
    );
  return {
    records,
    has: layer => recordOf(layer) !== undefined,
    async find(layer) {
      const found = recordOf(layer);
      if (!found) return undefined;
      const made = await readLayer(from, layer, found, settings, signal);
      await copyBlob(found, from, target, signal);
      return made;
    },
  };
};

const readLayer = async (
  from: ImageSource,
  layer: Descriptor,
  { digest, size }: Descriptor,
  { mode }: ConversionSettings,
  signal: AbortSignal,
): Promise<ConvertedLayer> => {
  const reader = sourceReader(from, { digest, size }, signal);
  try {
    const length = tailSize(size);
    const tail = await reader.read(size - length, length);
    const sections = sectionsOfTail(tail, size) ?? [];
    const plain = async (name: string): Promise<Buffer | undefined> => {
      const section = sections.find(one => one.name === name);
      return section && unpackSection(section, await reader.read(section.offset, section.size));
    };
    const bootstrap = await plain(Section.BOOT);
    if (!bootstrap) throw new RafsError('CORRUPT', 'a blob has no bootstrap', { digest });
    const table = await plain(Section.META);
    const header = await plain(Section.META_HEADER);
    const meta =
      table && header
        ? [table, Buffer.alloc(alignUp(table.length, META_ALIGN) - table.length), header]
        : [];
    const made = { source: layer, blob: { digest, size }, bootstrap, meta, reused: true };
    if (mode !== 'zran') return made;
    const end = tail.length - BLOCK_SIZE;
    const toc = readSectionHeader(tail, end);
    return { ...made, tocDigest: sha256(tail.subarray(end - toc.size, end)) };
  } finally {
    await reader.close();
  }
};

/** Lists the layers of a run in the cache, in front of those that it had. */
export const saveLayerCache = async (
  layers: readonly LayerProgress[],
  {
    made,
    before,
    cache,
    into,
    settings,
    dict,
    signal,
  }: {
    /** where the layers' blobs are now, and those of older records */
    made: ImageSource;
    before: readonly Descriptor[];
    cache: ImageSource;
    into: ImageTarget;
    settings: ConversionSettings;
    dict?: ImageDict | undefined;
    signal: AbortSignal;
  },
): Promise<void> => {
  const key = settingsKey(settings, dict);
  const records: Descriptor[] = [];
  for (const { layer, blob } of layers) {
    if (!blob) continue;
    const record = {
      mediaType: MediaType.NYDUS_BLOB,
      ...blob,
      annotations: {
        [Annotation.BLOB]: 'true',
        [Annotation.SOURCE_DIGEST]: layer.digest,
        [Annotation.UNCOMPRESSED]: blob.digest,
        [SETTINGS]: key,
      },
    };
    await copyBlob(record, made, into, signal);
    records.push(record);
  }
  const idOf = ({ annotations }: Descriptor): string =>
    `${annotations?.[Annotation.SOURCE_DIGEST]} ${annotations?.[SETTINGS]}`;
  const known = new Set(records.map(idOf));
  for (const old of before) {
    if (records.length >= MOST_RECORDS || known.has(idOf(old))) continue;
    await copyBlob(old, cache, into, signal);
    records.push(old);
  }
  const config = await putBytes(into, Buffer.from('{}'), signal);
  const bytes = manifestBytes({
    config: { mediaType: MediaType.CONFIG, ...config },
    layers: records,
    annotations: {
      [Annotation.CACHE_VERSION]: CACHE_VERSION,
      [Annotation.FS_VERSION]: String(settings.build.fsVersion),
    },
  });
  await into.putManifest(bytes, MediaType.MANIFEST, {});
};
