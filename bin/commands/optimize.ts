/** optimize: the same image, with the chunks that are needed first in a blob of their own. */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { replan, hasAlignedChunks } from '../../lib/image/compact.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { loadedText, shown } from '../console/image-text.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { loadImage } from '../../lib/image/load-image.js';
import {
  isStoredAlike,
  settingsOf,
  parsePrefetchFiles,
  redirectChunks,
} from '../../lib/image/optimize.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import { compactor } from '../../streams/build/compactor.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import { openOutput } from '../../streams/io/open-output.js';
import type { Output } from '../../streams/io/output.js';
import { givenLocation, type BlobLocation } from '../../streams/image/blob-location.js';
import { BlobSources } from '../../streams/image/blob-sources.js';
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext } from '../cli/context.js';
import type { Image } from '../../streams/image/read-image.js';
import { failingWith, openLayer } from '../../streams/image/open-layers.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';
import { stageImage } from './staged-image.js';

type OptimizeInvocation = Extract<Invocation, { command: 'optimize' }>;
type Values = OptimizeInvocation['values'];

export const optimize = async (
  { values }: OptimizeInvocation,
  context: CommandContext,
): Promise<void> => {
  const target = values['output-bootstrap'];
  let output: Output | undefined;
  try {
    const given = settle(values);
    output = await openOutput(target, { signal: context.signal });
    const { image, blobs } = await optimizeImage(values, given, output, context);
    if (values['output-json'] === undefined) return;
    const { version: fsVersion, compressor } = image.bootstrap;
    const ids = blobs.map(({ id }) => shown(id));
    const json = { bootstrap: target, blobs: ids, fsVersion, compressor };
    writeOutputJson(values['output-json'], outputJson(json, { pretty: true }));
  } finally {
    if (output)
      await output.abandon(); // does nothing once finished
    else await releaseFifo(target);
  }
};

interface Given {
  directory: string;
  list: string;
}

const settle = (values: Values): Given => {
  const { 'output-blob-dir': directory, 'prefetch-files': list } = values;
  const missing = (name: string): RafsError =>
    new RafsError('UNSUPPORTED', `missing parameter \`${name}\``);
  if (directory === undefined) throw missing('output-blob-dir');
  if (list === undefined) throw missing('prefetch-files');
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    const why = `--output-blob-dir ${JSON.stringify(directory)} is no directory`;
    throw new RafsError('UNSUPPORTED', why);
  }
  return { directory, list };
};

/** The new image, complete and named; its new blob is the last. */
const optimizeImage = async (
  values: Values,
  { directory, list }: Given,
  output: Output,
  context: CommandContext,
): Promise<{ image: Image; blobs: readonly BlobInfo[] }> => {
  const { log } = context;
  const warn = (message: string): void => log.warn(message);
  await Promise.all([prepareDigests(), prepareCompressors(warn)]);
  const text = await failingWith(`failed to read prefetch files from ${list}`, () =>
    readFile(list, 'utf8'),
  );
  const files = parsePrefetchFiles(text, warn);
  const opened = await openLayer(values.bootstrap, 'load bootstrap');
  log.info(loadedText(opened.bootstrap));
  const image = loadImage(opened.bootstrap);
  const { chunks, bootstrap } = image;
  const before = image.blobs.finish(undefined);
  const aligned = hasAlignedChunks(image);
  const place = await placeOf(values, opened);
  const sources = new BlobSources(image, before, place, opened);
  try {
    const rows = redirectChunks(image, before, files, warn);
    const like = settingsOf(image, before, rows);
    const read = (row: number) =>
      isStoredAlike(chunks, row, before[chunks.blobIndex.get(row)]!, like)
        ? sources.stored(row)
        : sources.unpacked(row);
    return await stageImage(directory, context, async staged => {
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
      return { image: opened, blobs };
    });
  } finally {
    await sources.close();
  }
};

const placeOf = async (values: Values, image: Image): Promise<BlobLocation> => {
  const { config, 'blob-dir': blobDir } = values;
  const given = await givenLocation({ backend: values, blobDir, config });
  if (given) return given;
  if (image.inlined) return { blobFile: image.path };
  throw new RafsError(
    'UNSUPPORTED',
    'invalid backend configuration, --blob-dir, --config or --backend-type must be specified',
  );
};
