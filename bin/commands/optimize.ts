/** optimize: the same image, with the chunks that are needed first in a blob of their own. */
import { statSync } from 'node:fs';
import { RafsError } from '../../lib/errors.js';
import { parsePrefetchFiles, type PrefetchFile } from '../../lib/image/optimize.js';
import { givenLocation, type BlobLocation } from '../../streams/image/blob-location.js';
import { failingWith } from '../../streams/image/open-layers.js';
import type { Image } from '../../streams/image/read-image.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import { readSmallFile } from '../../streams/io/small-file.js';
import { optimizeImage } from '../../streams/rewrite/optimize-image.js';
import type { Values } from '../cli/options.js';
import type { CommandContext, Run } from '../cli/context.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';

export const run: Run<'optimize'> = async ({ values }, context) => {
  const { log, signal, fsync } = context;
  const target = values['output-bootstrap'];
  const { directory, prefetch } = await settle(values, context).catch(async (error: unknown) => {
    await releaseFifo(target);
    throw error;
  });
  const result = await optimizeImage(values.bootstrap, {
    bootstrap: target,
    blobDir: directory,
    blobs: image => placeOf(values, image),
    prefetch,
    log,
    signal,
    fsync,
  });
  if (values['output-json'] === undefined) return;
  const json = { ...result, bootstrap: target };
  writeOutputJson(values['output-json'], outputJson(json, { pretty: true }), context);
};

const settle = async (
  values: Values<'optimize'>,
  { log }: CommandContext,
): Promise<{ directory: string; prefetch: readonly PrefetchFile[] }> => {
  const { 'output-blob-dir': directory, 'prefetch-files': list } = values;
  const missing = (name: string): RafsError =>
    new RafsError('UNSUPPORTED', `missing parameter \`${name}\``);
  if (directory === undefined) throw missing('output-blob-dir');
  if (list === undefined) throw missing('prefetch-files');
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    const why = `--output-blob-dir ${JSON.stringify(directory)} is not a directory`;
    throw new RafsError('UNSUPPORTED', why);
  }
  const text = await failingWith(`failed to read prefetch files from ${list}`, () =>
    readSmallFile(list),
  );
  return { directory, prefetch: parsePrefetchFiles(text.toString(), message => log.warn(message)) };
};

const placeOf = async (values: Values<'optimize'>, image: Image): Promise<BlobLocation> => {
  const { config, 'blob-dir': blobDir } = values;
  const given = await givenLocation({ backend: values, blobDir, config });
  if (given) return given;
  if (image.inlined) return { blobFile: image.path };
  throw new RafsError(
    'UNSUPPORTED',
    'invalid backend configuration, --blob-dir, --config or --backend-type must be specified',
  );
};
