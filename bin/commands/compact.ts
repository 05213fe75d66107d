/** compact: the same image, with fewer blobs and without their unused chunks. */
import { statSync } from 'node:fs';
import { RafsError } from '../../lib/errors.js';
import { withExtension } from '../../lib/model/names.js';
import type { CompactOptions } from '../../lib/image/compact.js';
import { backendLocation, type BlobLocation } from '../../streams/image/blob-location.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import { compactImage } from '../../streams/rewrite/compact-image.js';
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext } from '../cli/context.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';

type CompactInvocation = Extract<Invocation, { command: 'compact' }>;
type Values = CompactInvocation['values'];

export const compact = async (
  { values }: CompactInvocation,
  context: CommandContext,
): Promise<void> => {
  const { log, signal, fsync } = context;
  const target = values['output-bootstrap'] ?? defaultOutput(values.bootstrap);
  const { rules, blobs } = await settle(values).catch(async (error: unknown) => {
    await releaseFifo(target);
    throw error;
  });
  const result = await compactImage(values.bootstrap, {
    ...rules,
    bootstrap: target,
    blobDir: values['blob-dir'],
    blobs,
    chunkDict: values['chunk-dict'],
    log,
    signal,
    fsync,
  });
  if (!result) {
    log.info('compact: nothing to do');
    return;
  }
  if (values['output-json'] === undefined) return;
  const json = { ...result, bootstrap: target };
  writeOutputJson(values['output-json'], outputJson(json, { pretty: true }), context);
};

/** The default output: the bootstrap's name with another extension. */
export const defaultOutput = (bootstrap: string): string =>
  withExtension(bootstrap, 'bootstrap.compact');

const settle = async (
  values: Values,
): Promise<{ rules: CompactOptions; blobs: BlobLocation | undefined }> => {
  const directory = values['blob-dir'];
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new RafsError(
      'UNSUPPORTED',
      `--blob-dir ${JSON.stringify(directory)} is not a directory`,
    );
  }
  const rules = {
    minUsedRatio: wholeNumber(values['min-used-ratio'], 0xffn),
    compactBlobSize: wholeNumber(values['compact-blob-size']),
    maxCompactSize: wholeNumber(values['max-compact-size']),
    layersToCompact: wholeNumber(values['layers-to-compact']),
  };
  return { rules, blobs: await backendLocation(values) };
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
