/** merge: makes one bootstrap of those of an image's layers. */
import { statSync } from 'node:fs';
import { RafsError } from '../../lib/errors.js';
import { held } from '../../lib/model/names.js';
import type { OwnBlob } from '../../lib/image/merge.js';
import type { Target } from '../../streams/build/artifact-writer.js';
import { readConfig } from '../../streams/image/blob-location.js';
import { digestOf, mergeLayers } from '../../streams/image/merge-images.js';
import { fileIdOf, type Image } from '../../streams/image/read-image.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import type { Values } from '../cli/options.js';
import type { Run } from '../cli/context.js';
import { readPatterns } from '../cli/read-patterns.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';
import { growYoungSpace } from '../memory.js';

export const run: Run<'merge'> = async ({ values, positionals }, context) => {
  growYoungSpace();
  const { log, signal, fsync } = context;
  let unopened = values.bootstrap;
  try {
    const { patterns, warnings } = await readPatterns(values['prefetch-policy']);
    for (const warning of warnings) log.warn(warning);
    const known = knownBlobs(values, positionals);
    const target = bootstrapTarget(values);
    const blobs = values.config === undefined ? undefined : await readConfig(values.config);
    unopened = undefined;
    const { bootstrap = '', ...merged } = await mergeLayers(
      positionals.map((image, i) => ({ image, own: read => ownBlob(known[i]!, read) })),
      target,
      {
        blobs,
        parent: values['parent-bootstrap'] || undefined, // '' means none
        chunkDict: values['chunk-dict'],
        patterns: values['prefetch-policy'] === 'fs' ? patterns : [],
        log,
        signal,
        fsync,
      },
    );
    if (values['output-json'] === undefined) return;
    const result = { bootstrap, ...merged };
    writeOutputJson(values['output-json'], outputJson(result, { pretty: true }), context);
  } finally {
    if (unopened !== undefined) await releaseFifo(unopened);
  }
};

/** Where the bootstrap goes: a file, or a directory where it is named by its sha256. */
export const bootstrapTarget = (
  values: Pick<Values<'merge'>, 'bootstrap' | 'blob-dir'>,
): Target => {
  const { bootstrap, 'blob-dir': directory } = values;
  if (bootstrap !== undefined) return { path: bootstrap };
  if (directory === undefined) {
    throw new RafsError(
      'UNSUPPORTED',
      'both --bootstrap and --blob-dir are missing, please specify one to store the generated metadata blob file',
    );
  }
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new RafsError('UNSUPPORTED', 'Directory to store blobs does not exist');
  }
  return { directory };
};

type KnownBlob = Omit<OwnBlob, 'id'> & { id?: string };

/**
 * The blob of a layer. Without an id in the command line, a file that is named like a blob names it,
 * as clients rely on; else a bootstrap says the id itself, if it does not lie in the blob.
 */
const ownBlob = (known: KnownBlob, { path, inlined }: Image): OwnBlob => {
  const fileId = fileIdOf(path);
  const { id = fileId } = known;
  const isNamed = known.id !== undefined || (!inlined && /^[0-9a-f]{64}$/.test(fileId));
  return { ...known, id, keepsId: known.keepsId || !isNamed };
};

/** What the command line says about the blob of each layer. */
const knownBlobs = (values: Values<'merge'>, paths: readonly string[]): KnownBlob[] => {
  const list = (
    option:
      'blob-digests' | 'original-blob-ids' | 'blob-sizes' | 'blob-toc-digests' | 'blob-toc-sizes',
    what: string,
  ): readonly string[] | undefined => {
    const items = values[option];
    if (items !== undefined && items.length !== paths.length) {
      const counts = `${items.length} doesn't match number of sources ${paths.length}`;
      throw new RafsError('UNSUPPORTED', `number of ${what} entries ${counts}`);
    }
    return items;
  };
  const digests = list('blob-digests', 'blob digest')?.map(digestOf);
  const ids = list('original-blob-ids', 'original blob id');
  const sizes = list('blob-sizes', 'blob size')?.map(sizeOf('--blob-sizes'));
  const tocDigests = list('blob-toc-digests', 'toc digest')?.map(digestOf);
  const tocSizes = list('blob-toc-sizes', 'toc size')?.map(sizeOf('--blob-toc-sizes'));
  return paths.map((_, i) => ({
    keepsId: values.config !== undefined,
    ...(ids ? { id: held(ids[i]!) } : {}),
    ...(digests ? { digest: digests[i]! } : {}),
    ...(sizes ? { size: sizes[i]! } : {}),
    ...(tocDigests ? { tocDigest: tocDigests[i]! } : {}),
    ...(tocSizes ? { tocSize: tocSizes[i]! } : {}),
  }));
};

const sizeOf =
  (option: string) =>
  (text: string): number => {
    const size = Number(text);
    if (/^\+?[0-9]+$/.test(text) && Number.isSafeInteger(size)) return size;
    throw new RafsError('UNSUPPORTED', `invalid number in ${option} option`);
  };
