/** compact: the same image, with fewer blobs and without their unused chunks. */
import { statSync } from 'node:fs';
import { dirname, join, parse } from 'node:path';
import { blobElsewhere } from '../../lib/bootstrap/blob-table.js';
import { chunkDictPath } from '../../lib/image/chunk-dict.js';
import {
  chunksToCopy,
  hasAlignedChunks,
  replan,
  planCompaction,
  renumberBlobs,
  type CompactOptions,
  type Rebuilding,
} from '../../lib/image/compact.js';
import { settingsOf } from '../../lib/bootstrap/settings.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { loadedText, shown } from '../console/image-text.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { loadImage, type LoadedImage } from '../../lib/image/load-image.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import { compactor } from '../../streams/build/compactor.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import { openOutput } from '../../streams/io/open-output.js';
import type { Output } from '../../streams/io/output.js';
import { backendLocation, type BlobLocation } from '../../streams/image/blob-location.js';
import { BlobSources } from '../../streams/image/blob-sources.js';
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext } from '../cli/context.js';
import { openLayer } from '../../streams/image/open-layers.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';
import { stageImage } from './staged-image.js';

type CompactInvocation = Extract<Invocation, { command: 'compact' }>;
type Values = CompactInvocation['values'];

export const compact = async (
  { values }: CompactInvocation,
  context: CommandContext,
): Promise<void> => {
  const target = values['output-bootstrap'] ?? defaultOutput(values.bootstrap);
  let output: Output | undefined;
  try {
    const settled = settle(values);
    const place = (await backendLocation(values)) ?? { blobDir: values['blob-dir'] };
    output = await openOutput(target, { signal: context.signal });
    const result = await compactImage(values, { settled, place, output }, context);
    if (!result) {
      context.log.info('compact: nothing to do');
      return;
    }
    const { image, blobs } = result;
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

/** The default output: the bootstrap's name with another extension. */
export const defaultOutput = (bootstrap: string): string => {
  const { dir, name } = parse(bootstrap);
  return join(dir === '' ? dirname(bootstrap) : dir, `${name}.bootstrap.compact`);
};

const settle = (values: Values): CompactOptions => {
  const directory = values['blob-dir'];
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new RafsError('UNSUPPORTED', `--blob-dir ${JSON.stringify(directory)} is no directory`);
  }
  return {
    minUsedRatio: wholeNumber(values['min-used-ratio'], 0xffn),
    compactBlobSize: wholeNumber(values['compact-blob-size']),
    maxCompactSize: wholeNumber(values['max-compact-size']),
    layersToCompact: wholeNumber(values['layers-to-compact']),
  };
};

const wholeNumber = (text: string, most = 0xffff_ffff_ffff_ffffn): number => {
  if (!/^\+?[0-9]+$/.test(text)) {
    throw new RafsError('UNSUPPORTED', 'invalid digit found in string', { value: text });
  }
  const number = BigInt(text.replace('+', ''));
  if (number > most) {
    throw new RafsError('UNSUPPORTED', 'number too large to fit in target type', { value: text });
  }
  return Number(number);
};

interface Given {
  settled: CompactOptions;
  /** where the old blobs are */
  place: BlobLocation;
  output: Output;
}

/** The new image, complete and named; undefined if there was nothing to do. */
const compactImage = async (
  values: Values,
  { settled, place, output }: Given,
  context: CommandContext,
): Promise<{ image: LoadedImage; blobs: readonly BlobInfo[] } | undefined> => {
  const directory = values['blob-dir'];
  const warn = (message: string): void => context.log.warn(message);
  await Promise.all([prepareDigests(), prepareCompressors(warn)]);
  const opened = await openLayer(values.bootstrap, 'load bootstrap');
  const { bootstrap } = opened;
  context.log.info(loadedText(bootstrap));
  const image = loadImage(bootstrap);
  const before = image.blobs.finish(undefined);
  const dictBlobs = await dictionaryBlobs(values['chunk-dict'], image);
  const sources = new BlobSources(image, before, place, opened);
  try {
    const sizes = await Promise.all(
      before.map(async ({ compressedSize }, i) => compressedSize || sources.sizeOf(i)),
    );
    const compaction = planCompaction(before, image.chunks, sizes, { ...settled, dictBlobs });
    if (!compaction) return undefined;
    return await stageImage(directory, context, async staged => {
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
        context.log.info(madeText(before, item, made.at(-1)!));
      }
      const blobs = renumberBlobs(image.chunks, compaction, before, made);
      await staged.writeBootstrap(replan(image, blobs));
      await staged.verify(blobs, place);
      await staged.publish(made, output);
      return { image, blobs };
    });
  } finally {
    await sources.close();
  }
};

const madeText = (before: readonly BlobInfo[], { from }: Rebuilding, { id }: BlobInfo): string =>
  `compact: blob ${id} is made of ${from.map(i => shown(before[i]!.id)).join(', ')}`;

/** Ids of the blobs of the chunk dictionary, which must have the RAFS version of the image. */
const dictionaryBlobs = async (
  given: string | undefined,
  { bootstrap }: LoadedImage,
): Promise<ReadonlySet<string>> => {
  if (given === undefined) return new Set();
  const dict = await openLayer(chunkDictPath(given), 'failed to open bootstrap file');
  const [due, got] = [settingsOf(bootstrap), settingsOf(dict.bootstrap)];
  if (due.version !== got.version) {
    throw new RafsError('UNSUPPORTED', `a dictionary of RAFS v${got.version}, not v${due.version}`);
  }
  return new Set(dict.bootstrap.blobs.map(blob => blobElsewhere(blob).id));
};
