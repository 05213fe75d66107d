/** The same image, with fewer blobs and without their unused chunks. */
import type { Writable } from 'node:stream';
import { blobElsewhere } from '../../lib/bootstrap/blob-table.js';
import { settingsOf } from '../../lib/bootstrap/settings.js';
import { loadedText } from '../../lib/bootstrap/super-flags.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { chunkDictPath } from '../../lib/image/chunk-dict.js';
import {
  chunksToCopy,
  hasAlignedChunks,
  planCompaction,
  renumberBlobs,
  replan,
  type CompactOptions,
  type Rebuilding,
} from '../../lib/image/compact.js';
import { loadImage, type LoadedImage } from '../../lib/image/load-image.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { holdsKey, type BlobInfo } from '../../lib/model/blob.js';
import { shown } from '../../lib/model/names.js';
import { compactor } from '../build/compactor.js';
import { placeOf, type BlobsInput } from '../image/blob-location.js';
import { BlobSources } from '../image/blob-sources.js';
import { refuseOverwriting } from '../image/open-blobs.js';
import { openLayer } from '../image/open-layers.js';
import type { ImageInput } from '../image/read-image.js';
import { SILENT, type RunOptions } from '../image/run-options.js';
import { rewriteTo, rewritten, type RewrittenImage } from './rewritten-image.js';
import { stageImage } from './staged-image.js';

/** Options of {@link compactImage}. */
export interface CompactImageOptions extends RunOptions {
  /** where the new image goes: a file, a FIFO, '-' for standard output, or a stream that is ended */
  bootstrap: string | Writable;
  /** directory for the new blobs, which are named by their ids */
  blobDir: string;
  /** where the old blobs are; default: in `blobDir` */
  blobs?: BlobsInput | undefined;
  /** blobs of which less is used are made anew, in percent; default: 0 */
  minUsedRatio?: number | undefined;
  /** blobs of fewer bytes are joined; default: 10 MiB */
  compactBlobSize?: number | undefined;
  /** no joined blob has more bytes of chunks than this; default: 100 MiB */
  maxCompactSize?: number | undefined;
  /** with fewer blobs nothing is done; default: 0 */
  layersToCompact?: number | undefined;
  /** image whose blobs stay, because other images rely on them */
  chunkDict?: ImageInput | undefined;
}

/**
 * Makes the same image of fewer blobs, without the chunks that no file uses. Everything is read
 * back and verified before anything gets its name. If there is nothing to do, the new image is the
 * old one, and no blob is new.
 *
 * @example
 * ```js
 * import { compactImage, createImage, mergeImages } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'old-lower.boot', blobDir: '.' });
 * await createImage({ source: 'upper.tar', bootstrap: 'old-upper.boot', blobDir: '.' });
 * await mergeImages(['old-lower.boot', 'old-upper.boot'], { bootstrap: 'old.boot' });
 * const compacted = await compactImage('old.boot', { bootstrap: 'small.boot', blobDir: '.' });
 * console.log(compacted.newBlobs.length);
 * ```
 */
export const compactImage = (
  input: ImageInput,
  options: CompactImageOptions,
): Promise<RewrittenImage> => {
  const { bootstrap: target, blobDir, log = SILENT, signal, fsync } = options;
  const { blobs: blobsInput = blobDir, chunkDict } = options;
  return rewriteTo(target, options, async (output, counters) => {
    const warn = (message: string): void => log.warn(message);
    await Promise.all([prepareDigests(), prepareCompressors(warn)]);
    const opened = await openLayer(input, 'load bootstrap');
    const { bootstrap } = opened;
    log.info(loadedText(bootstrap));
    const image = loadImage(bootstrap);
    const before = image.blobs.finish(undefined);
    const dictBlobs = await dictionaryBlobs(chunkDict, image);
    const place = (await placeOf(blobsInput, opened)) ?? { blobDir };
    refuseOverwriting(target, opened, place);
    const sources = new BlobSources(image, before, place, opened, counters);
    try {
      const sizes = await Promise.all(
        before.map(async ({ compressedSize }, i) => compressedSize || sources.sizeOf(i)),
      );
      const rules = { ...rulesOf(options), dictBlobs };
      const compaction = planCompaction(before, image.chunks, sizes, rules);
      if (!compaction) {
        log.info('compact: nothing to do');
        // a bootstrap within a blob does not have the blob's id
        const { pieces } = opened.inlined ? replan(image, before) : { pieces: [opened.image] };
        await output.write([...pieces]);
        if (holdsKey(before)) output.restrict?.();
        await output.finish();
        return rewritten(bootstrap, before, []);
      }
      return await stageImage(blobDir, { log, signal, fsync }, async staged => {
        const made: BlobInfo[] = [];
        const aligned = hasAlignedChunks(image);
        for (const item of compaction) {
          if (typeof item === 'number') continue;
          const like = before[item.from[0]!]!;
          const blob = compactor({
            chunks: image.chunks,
            rows: chunksToCopy(image.chunks, item),
            read: row => sources.stored(row),
            like: {
              compressor: like.compressor,
              digester: like.digester,
              chunkSize: like.chunkSize,
            },
            fsVersion: bootstrap.version,
            aligned,
            checksums: (like.features & BlobFeature.CHUNK_INFO_V2) !== 0,
            made: info => made.push(info),
          });
          await staged.addBlob(blob);
          log.info(madeText(before, item, made.at(-1)!));
        }
        const blobs = renumberBlobs(image.chunks, compaction, before, made);
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

const rulesOf = ({
  minUsedRatio = 0,
  compactBlobSize = 0xa0_0000,
  maxCompactSize = 0x640_0000,
  layersToCompact = 0,
}: CompactImageOptions): CompactOptions => ({
  minUsedRatio,
  compactBlobSize,
  maxCompactSize,
  layersToCompact,
});

const madeText = (before: readonly BlobInfo[], { from }: Rebuilding, { id }: BlobInfo): string =>
  `compact: blob ${id} is made of ${from.map(i => shown(before[i]!.id)).join(', ')}`;

/** Ids of the blobs of the chunk dictionary, which must have the RAFS version of the image. */
const dictionaryBlobs = async (
  given: ImageInput | undefined,
  { bootstrap }: LoadedImage,
): Promise<ReadonlySet<string>> => {
  if (given === undefined) return new Set();
  const dict = await openLayer(
    typeof given === 'string' ? chunkDictPath(given) : given,
    'failed to open bootstrap file',
  );
  const [due, got] = [settingsOf(bootstrap), settingsOf(dict.bootstrap)];
  if (due.version !== got.version) {
    throw new RafsError(
      'UNSUPPORTED',
      `expected a dictionary of RAFS v${due.version}, got v${got.version}`,
    );
  }
  return new Set(dict.bootstrap.blobs.map(blob => blobElsewhere(blob).id));
};
