/** Copies an image with all that it needs: also the layers that a Nydus image only refers to. */
import { RafsError } from '../../lib/errors.js';
import { Annotation } from '../../lib/oci/annotations.js';
import type { Descriptor, RawManifest } from '../../lib/oci/descriptor.js';
import { indexBytes, parseManifest } from '../../lib/oci/manifest.js';
import { MediaType } from '../../lib/oci/media-types.js';
import type { ImageSource } from '../transport/source.js';
import type { ImageTarget } from '../transport/target.js';
import { copyBlob } from '../convert/convert-manifest.js';
import { selectImages, type Platforms } from '../convert/select-images.js';

export interface CopyImageOptions {
  source: ImageSource;
  target: ImageTarget;
  /** default: all, exactly as they are */
  platforms?: Platforms;
  signal?: AbortSignal;
  /** called for every blob, with what was done */
  onBlob?: (blob: Pick<Descriptor, 'digest'>, done: 'there' | 'mounted' | 'copied') => void;
  onNotice?: (text: string) => void;
}

/**
 * Copies an image with all that it needs, also layers that it only refers to.
 *
 * @example
 * ```js
 * import { copyImage, openImageSource, openImageTarget } from 'rafs-stream';
 *
 * const source = await openImageSource('oci:image:t');
 * const target = await openImageTarget('oci-archive:image.tar:t');
 * console.log((await copyImage({ source, target })).digest);
 * await Promise.all([source.close(), target.close()]);
 * ```
 */
export const copyImage = async (options: CopyImageOptions): Promise<Descriptor> => {
  const { source, target, platforms = 'all', onNotice = () => undefined } = options;
  if (platforms === 'all') return copyAll(await source.manifest(), options, {});
  const { images } = await selectImages(source, { platforms, notice: onNotice });
  if (images.length === 1) return copyAll(images[0]!.raw, options, {});
  const manifests: Descriptor[] = [];
  for (const { raw, descriptor } of images) {
    manifests.push({ ...(await copyAll(raw, options)), ...platformOf(descriptor) });
  }
  return target.putManifest(indexBytes({ manifests }), MediaType.INDEX, {});
};

const platformOf = (descriptor: Descriptor | undefined): Pick<Descriptor, 'platform'> =>
  descriptor?.platform ? { platform: descriptor.platform } : {};

/** Most indexes within one another. */
const MOST_DEPTH = 4;

/** A manifest with its blobs, or an index with its manifests; bytes stay as they are. */
const copyAll = async (
  raw: RawManifest,
  options: CopyImageOptions,
  reference?: { tag?: string },
  depth = 0,
): Promise<Descriptor> => {
  const { source, target, onBlob } = options;
  const signal = options.signal ?? new AbortController().signal;
  const document = parseManifest(raw);
  if (document.kind === 'index') {
    for (const { digest } of document.manifests) {
      if (depth === MOST_DEPTH) {
        throw new RafsError('LIMIT', `more than ${MOST_DEPTH} indexes are nested`, { digest });
      }
      await copyAll(await source.manifest(digest), options, undefined, depth + 1);
    }
  } else {
    // the bootstrap has the key, and so has a blob that ends with its own
    const secret = document.layers.some(({ annotations }) => annotations?.[Annotation.ENCRYPTED]);
    for (const blob of [...document.layers, ...originals(document.layers), document.config]) {
      onBlob?.(blob, await copyBlob(blob, source, target, signal, secret));
    }
  }
  return target.putManifest(raw.bytes, raw.mediaType || document.mediaType, reference);
};

/** Layers that data layers refer to, which no manifest lists. */
const originals = (layers: readonly Descriptor[]): Pick<Descriptor, 'digest'>[] =>
  layers.flatMap(({ annotations }) => {
    const digest = annotations?.[Annotation.REFERENCE];
    return digest === undefined ? [] : [{ digest }];
  });
