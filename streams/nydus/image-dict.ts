/** Dictionaries of chunks: Nydus images whose chunks other images need not store again. */
import { inconsistency } from '../../lib/bootstrap/settings.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { sha256 } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { loadChunkDict } from '../../lib/image/chunk-dict.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import type { ImageDict } from '../convert/convert-manifest.js';
import { selectImages, type Platforms } from '../convert/select-images.js';
import { planConversion, type ConversionOptions } from '../convert/settings.js';
import { readImage } from '../image/read-image.js';
import type { ImageSource } from '../transport/source.js';
import { isNydus, readBootstrapLayer } from './nydus-image.js';

export interface ImageDictOptions extends ConversionOptions {
  /** default: this machine's, where the dictionary has a choice */
  platforms?: Platforms;
  signal?: AbortSignal;
}

/**
 * Reads the dictionary of a conversion with these options: a Nydus image, which must have been made
 * with the same version and size of chunks. The source must stay open while images are converted:
 * blobs that they share with the dictionary are copied from there.
 *
 * @example
 * ```js
 * import { convertImage, openImageDict, openImageSource, openImageTarget } from 'rafs-stream';
 *
 * const source = await openImageSource('oci:image:t');
 * const target = await openImageTarget('oci:base:t');
 * await convertImage({ source, target });
 * await target.close();
 * const base = await openImageSource('oci:base:t');
 * const dict = await openImageDict(base);
 * const smaller = await openImageTarget('oci:smaller:t');
 * console.log((await convertImage({ source, target: smaller, dict })).digest);
 * await smaller.close();
 * ```
 */
export const openImageDict = async (
  source: ImageSource,
  options: ImageDictOptions = {},
): Promise<ImageDict> => {
  const { platforms = 'host', signal = new AbortController().signal } = options;
  await prepareCompressors();
  const notice = (): void => undefined;
  const { images } = await selectImages(source, { platforms, nydus: true, notice });
  const [{ manifest, raw }] = images as [(typeof images)[number]]; // it fails if there is none
  if (!isNydus(manifest)) {
    const at = { image: source.name, manifest: raw.digest };
    throw new RafsError('UNSUPPORTED', 'the chunk dictionary is not a Nydus image', at);
  }
  const { digest } = manifest.layers.at(-1)!;
  const bootstrap = await readBootstrapLayer(source, manifest, signal);
  const layers = manifest.layers.slice(0, -1);
  return dictOf(bootstrap, options, { digest, image: { source, layers } });
};

/**
 * The same for a bootstrap alone: its blobs must be in the storage that the conversion writes to.
 *
 * @example
 * ```js
 * import { createImage, openDictFile } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'dict.boot', blobDir: '.' });
 * const { digest } = await openDictFile('dict.boot');
 * console.log(digest);
 * ```
 */
export const openDictFile = async (
  file: string,
  options: ConversionOptions = {},
): Promise<ImageDict> => {
  await prepareCompressors();
  const { bootstrap, image } = await readImage(file);
  return dictOf(bootstrap, options, { digest: `sha256:${sha256(image).toString('hex')}` });
};

const dictOf = (
  bootstrap: Bootstrap,
  options: ConversionOptions,
  where: Pick<ImageDict, 'digest' | 'image'>,
): ImageDict => {
  const { build } = planConversion(options);
  const { chunkSize, explicitUidGid, fsVersion: version, digester, mode } = build;
  const due = { chunkSize, explicitUidGid, version, digester, tarfs: mode === 'tarfs' };
  const why = inconsistency(due, bootstrap);
  if (why !== undefined) throw new RafsError('UNSUPPORTED', why, { dictionary: where.digest });
  return { chunks: loadChunkDict(bootstrap, digester), bootstrap, ...where };
};
