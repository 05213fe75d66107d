/** The same image, with the chunks that are needed first in a blob of their own. */
import type { Writable } from 'node:stream';
import { loadedText } from '../../lib/bootstrap/super-flags.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { hasAlignedChunks, replan } from '../../lib/image/compact.js';
import { loadImage } from '../../lib/image/load-image.js';
import {
  isStoredAlike,
  redirectChunks,
  settingsOf,
  type PrefetchFile,
} from '../../lib/image/optimize.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import { held } from '../../lib/model/names.js';
import { compactor } from '../build/compactor.js';
import { requirePlace, type BlobsInput } from '../image/blob-location.js';
import { BlobSources } from '../image/blob-sources.js';
import { refuseOverwriting } from '../image/open-blobs.js';
import { openLayer } from '../image/open-layers.js';
import type { ImageInput } from '../image/read-image.js';
import { SILENT, type RunOptions } from '../image/run-options.js';
import { rewriteTo, rewritten, type RewrittenImage } from './rewritten-image.js';
import { stageImage } from './staged-image.js';

/** Options of {@link optimizeImage}. */
export interface OptimizeImageOptions extends RunOptions {
  /** where the new image goes: a file, a FIFO, '-' for standard output, or a stream that is ended */
  bootstrap: string | Writable;
  /** directory for the new blob, which is named by its id */
  blobDir: string;
  /** where the old blobs are; default: in the image's file */
  blobs?: BlobsInput | undefined;
  /** files that are needed first: paths from the root, or parts of files */
  prefetch: readonly (string | PrefetchFile)[];
}

/**
 * Makes the same image with an additional blob of the chunks that are needed first, so that a node
 * reads them ahead in one go. Everything is read back and verified before anything gets its name.
 *
 * @example
 * ```js
 * import { createImage, optimizeImage } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'slow.boot', blobDir: '.' });
 * const { newBlobs } = await optimizeImage('slow.boot', {
 *   bootstrap: 'quick.boot',
 *   blobDir: '.',
 *   blobs: '.',
 *   prefetch: ['/etc/motd'],
 * });
 * console.log(newBlobs.length);
 * ```
 */
export const optimizeImage = (
  input: ImageInput,
  options: OptimizeImageOptions,
): Promise<RewrittenImage> => {
  const { bootstrap: target, blobDir, prefetch, log = SILENT, signal, fsync } = options;
  return rewriteTo(target, options, async (output, counters) => {
    const warn = (message: string): void => log.warn(message);
    await Promise.all([prepareDigests(), prepareCompressors(warn)]);
    const files = prefetch.map(file => (typeof file === 'string' ? { path: held(file) } : file));
    const opened = await openLayer(input, 'load bootstrap');
    const { bootstrap } = opened;
    log.info(loadedText(bootstrap));
    const image = loadImage(bootstrap);
    const { chunks } = image;
    const before = image.blobs.finish(undefined);
    const aligned = hasAlignedChunks(image);
    const place = await requirePlace(options.blobs, opened);
    refuseOverwriting(target, opened, place);
    const sources = new BlobSources(image, before, place, opened, counters);
    try {
      const rows = redirectChunks(image, before, files, warn);
      const like = settingsOf(image, before, rows);
      const read = (row: number) =>
        isStoredAlike(chunks, row, before[chunks.blobIndex.get(row)]!, like)
          ? sources.stored(row)
          : sources.unpacked(row);
      return await stageImage(blobDir, { log, signal, fsync }, async staged => {
        const made: BlobInfo[] = [];
        const blob = compactor({
          chunks,
          rows,
          read,
          like,
          fsVersion: bootstrap.version,
          aligned,
          checksums: false,
          tarHeaders: true,
          features: BlobFeature.IS_SEPARATED_WITH_PREFETCH_FILES,
          made: info => made.push(info),
        });
        // readers refuse a blob table with a blob that has no chunks
        if (rows.length > 0) {
          await staged.addBlob(blob);
          const index = image.blobs.indexOf(made[0]!);
          for (const row of rows) chunks.blobIndex.data[row] = index;
        } else {
          warn('no chunk is to be read ahead: there is no new blob');
        }
        const blobs = image.blobs.finish(undefined);
        await staged.writeBootstrap(replan(image, blobs));
        await staged.verify(blobs, place);
        await staged.publish(made, output);
        return rewritten(bootstrap, blobs, made);
      });
    } finally {
      await sources.close();
    }
  });
};
