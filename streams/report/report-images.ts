/** Makes a report on images: one page that shows what they are made of. */
import { stat } from 'node:fs/promises';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { located, RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import { Annotation } from '../../lib/oci/annotations.js';
import { parseDigest } from '../../lib/oci/descriptor.js';
import type { Manifest } from '../../lib/oci/manifest.js';
import { gatherImage, type GatheredImage, type LayerSizes } from '../../lib/report/image-report.js';
import { assembleReport, packReport } from '../../lib/report/pack.js';
import type { Report } from '../../lib/report/report.js';
import { selectImages } from '../convert/select-images.js';
import { readImage } from '../image/read-image.js';
import { isNydus, readBootstrapBytes } from '../nydus/nydus-image.js';
import { openImageSource, type TransportOptions } from '../transport/open-transport.js';
import type { ImageSource } from '../transport/source.js';
import { pageWith } from './page.js';

export interface ReportOptions {
  /** a bootstrap, a blob with its bootstrap, or a whole image as `convert` names it */
  images: readonly string[];
  /** the ordinary image that the (only) image was made of: its layers are shown beside the blobs */
  source?: string;
  /** how whole images are reached */
  transport?: TransportOptions;
  signal?: AbortSignal;
  onNotice?: (text: string) => void;
}

export interface ImageReportPage {
  report: Report;
  /** HTML that needs nothing else */
  page: string;
}

/**
 * Reads bootstraps alone, never the data of blobs. Fails with the errors of whoever reads an image
 * first that makes no sense.
 *
 * @example
 * ```js
 * import { writeFile } from 'node:fs/promises';
 * import { createImage, reportImages } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'report.boot', blobDir: '.' });
 * const { report, page } = await reportImages({ images: ['report.boot'] });
 * await writeFile('report.html', page);
 * console.log(report.images[0].all.files);
 * ```
 */
export const reportImages = async ({
  images,
  source,
  transport = {},
  signal = new AbortController().signal,
  onNotice = () => undefined,
}: ReportOptions): Promise<ImageReportPage> => {
  if (source !== undefined && images.length !== 1) {
    throw new RafsError('USAGE', 'an ordinary image can be compared with one image only');
  }
  const access = { transport, signal, onNotice };
  const layers = source === undefined ? undefined : await layersOf(source, access);
  const gathered: GatheredImage[] = [];
  for (const name of images) {
    signal.throwIfAborted();
    gathered.push(await gather(name, layers, access));
  }
  const assembled = assembleReport(gathered);
  return { report: assembled.report, page: await pageWith(packReport(assembled)) };
};

interface Access {
  transport: TransportOptions;
  signal: AbortSignal;
  onNotice: (text: string) => void;
}

const gather = async (
  name: string,
  layers: readonly number[] | undefined,
  access: Access,
): Promise<GatheredImage> => {
  const found = await stat(name).catch(() => undefined);
  if (found?.isFile()) {
    const { bootstrap, image } = await readImage(name);
    return gatherImage(bootstrap, { name, image, layers: layerSizes(bootstrap.blobs) });
  }
  return withImage(
    found?.isDirectory() ? `oci:${name}` : name,
    access,
    async (opened, manifest) => {
      if (!isNydus(manifest)) {
        throw new RafsError('UNSUPPORTED', 'this is not a Nydus image: convert it first', {
          image: name,
        });
      }
      const image = await readBootstrapBytes(opened, manifest, access.signal);
      const bootstrap = parseBootstrap(image);
      const sizes = layerSizes(bootstrap.blobs, layers && { manifest, sizes: layers });
      if (layers && sizes.size === 0) {
        access.onNotice(`${name} does not have a layer for each of the ordinary image's`);
      }
      return gatherImage(bootstrap, { name, image, layers: sizes });
    },
  );
};

const layersOf = (name: string, access: Access): Promise<number[]> =>
  withImage(name, access, async (_, { layers }) => layers.map(({ size }) => size));

const withImage = async <T>(
  name: string,
  { transport, signal, onNotice }: Access,
  use: (source: ImageSource, manifest: Manifest) => Promise<T>,
): Promise<T> => {
  const source = await openImageSource(name, { ...transport, signal });
  try {
    const { images } = await selectImages(source, {
      platforms: 'host',
      nydus: true,
      notice: onNotice,
    });
    return await use(source, images[0]!.manifest); // there is one, or it has failed
  } catch (error) {
    throw located(error, { image: name });
  } finally {
    await source.close();
  }
};

/**
 * Bytes of the ordinary layer of each blob: of layers that an image only refers to they are in the
 * bootstrap; else layers are told by their order.
 */
const layerSizes = (
  blobs: readonly BlobRecord[],
  known?: { manifest: Manifest; sizes: readonly number[] },
): LayerSizes => {
  const sizes = new Map<number, number>();
  for (const { index, features, compressedSize } of blobs) {
    if (features & BlobFeature.SEPARATE) sizes.set(index, compressedSize);
  }
  const data = known?.manifest.layers.filter(({ annotations }) => annotations?.[Annotation.BLOB]);
  if (!known || data?.length !== known.sizes.length) return sizes;
  for (const [i, { digest }] of data.entries()) {
    const blob = blobs.find(({ id }) => id === parseDigest(digest).hex);
    if (blob) sizes.set(blob.index, known.sizes[i]!);
  }
  return sizes;
};
