/** compact: the same image, with fewer blobs and without their unused chunks. */
import { statSync } from 'node:fs';
import { parseCompactConfig, type CompactConfig } from '../../lib/config/compact.js';
import { located, RafsError } from '../../lib/errors.js';
import { withExtension } from '../../lib/model/names.js';
import type { CompactOptions } from '../../lib/image/compact.js';
import {
  backendLocation,
  readDocument,
  type BlobLocation,
} from '../../streams/image/blob-location.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import { compactImage } from '../../streams/rewrite/compact-image.js';
import type { Values } from '../cli/options.js';
import type { Run } from '../cli/context.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';

export const run: Run<'compact'> = async ({ values, explicit }, context) => {
  const { log, signal, fsync } = context;
  const target = values['output-bootstrap'] ?? defaultOutput(values.bootstrap);
  const { rules, blobDir, blobs } = await settle(values, explicit).catch(async (error: unknown) => {
    await releaseFifo(target);
    throw error;
  });
  const result = await compactImage(values.bootstrap, {
    ...rules,
    bootstrap: target,
    blobDir,
    blobs,
    chunkDict: values['chunk-dict'],
    log,
    signal,
    fsync,
  });
  if (values['output-json'] === undefined) return;
  const json = { ...result, bootstrap: target };
  writeOutputJson(values['output-json'], outputJson(json, { pretty: true }), context);
};

/** The default output: the bootstrap's name with another extension. */
export const defaultOutput = (bootstrap: string): string =>
  withExtension(bootstrap, 'bootstrap.compact');

/** The rules by the command line, and by the file of `--config` where that does not say. */
const settle = async (
  values: Values<'compact'>,
  explicit: ReadonlySet<string>,
): Promise<{ rules: CompactOptions; blobDir: string; blobs: BlobLocation | undefined }> => {
  const { config: file } = values;
  const config = file === undefined ? {} : await readRules(file);
  const blobDir = values['blob-dir'] ?? config.blobsDir;
  if (blobDir === undefined) {
    throw new RafsError(
      'USAGE',
      `neither --blob-dir nor blobs_dir in --config says where blobs go`,
    );
  }
  if (!statSync(blobDir, { throwIfNoEntry: false })?.isDirectory()) {
    const name = values['blob-dir'] === undefined ? 'blobs_dir' : '--blob-dir';
    throw new RafsError('UNSUPPORTED', `${name} ${JSON.stringify(blobDir)} is not a directory`);
  }
  const rule = (
    option: 'min-used-ratio' | 'compact-blob-size' | 'max-compact-size' | 'layers-to-compact',
    configured: number | undefined,
    most?: bigint,
  ): number => {
    const given = wholeNumber(values[option], most);
    return explicit.has(option) ? given : (configured ?? given);
  };
  const rules = {
    minUsedRatio: rule('min-used-ratio', config.minUsedRatio, 0xffn),
    compactBlobSize: rule('compact-blob-size', config.compactBlobSize),
    maxCompactSize: rule('max-compact-size', config.maxCompactSize),
    layersToCompact: rule('layers-to-compact', config.layersToCompact),
  };
  return { rules, blobDir, blobs: await backendLocation(values) };
};

const readRules = async (file: string): Promise<CompactConfig> => {
  const document = await readDocument(file);
  try {
    return parseCompactConfig(document);
  } catch (error) {
    throw located(error, { file });
  }
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
