/** merge: makes one bootstrap of those of an image's layers. */
import type { RafsVersion } from '../../lib/model/version.js';
import { statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { blobElsewhere } from '../../lib/bootstrap/blob-table.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { chunkDictPath } from '../../lib/image/chunk-dict.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import { prepareDigests, sha256 } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { shown } from '../console/image-text.js';
import { BlobFeature, Section } from '../../lib/layout/blob.js';
import { BLOCK_SIZE } from '../../lib/layout/tar.js';
import { loadImage } from '../../lib/image/load-image.js';
import { Merger, type Merged, type OwnBlob } from '../../lib/image/merge.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import { parseSectionHeader } from '../../lib/blob/toc.js';
import {
  openArtifacts,
  type ArtifactPart,
  type Target,
} from '../../streams/build/artifact-writer.js';
import { separateBootstrap } from '../../streams/build/bootstrap-finalizer.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import { destroyAndWait } from '../../streams/io/destroy.js';
import { openBlob, readConfig, type BlobLocation } from '../../streams/image/blob-location.js';
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext } from '../cli/context.js';
import { failingWith, openLayer } from '../../streams/image/open-layers.js';
import { fileIdOf } from '../../streams/image/read-image.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';
import { readPatterns } from '../cli/read-patterns.js';

type MergeInvocation = Extract<Invocation, { command: 'merge' }>;
type Values = MergeInvocation['values'];

export const merge = async (
  { values, positionals }: MergeInvocation,
  context: CommandContext,
): Promise<void> => {
  let unopened = values.bootstrap;
  try {
    const { patterns, warnings } = await readPatterns(values['prefetch-policy']);
    for (const warning of warnings) context.log.warn(warning);
    const known = knownBlobs(values, positionals);
    const target = bootstrapTarget(values);
    const writer = await openArtifacts({ bootstrap: target }, context.signal);
    unopened = undefined;
    try {
      const prefetch = values['prefetch-policy'] === 'fs' ? patterns : [];
      const { merged, first } = await mergeLayers(values, positionals, known, prefetch);
      const ids = merged.blobs.map(({ id }) => id);
      await pipeline(Readable.from([...batches(merged, ids)]), writer, { signal: context.signal });
      if (values['output-json'] === undefined) return;
      const result = {
        bootstrap: writer.paths.bootstrap ?? '',
        blobs: ids.map(shown),
        fsVersion: first.version,
        compressor: first.compressor,
      };
      writeOutputJson(values['output-json'], outputJson(result, { pretty: true }));
    } catch (error) {
      await destroyAndWait(writer);
      throw error;
    }
  } finally {
    if (unopened !== undefined) await releaseFifo(unopened);
  }
};

function* batches(merged: Merged, blobs: readonly string[]): Iterable<ArtifactPart[]> {
  for (const part of separateBootstrap('bootstrap', merged.bootstrap.pieces)) yield [part];
  const blobSize = merged.blobs.at(-1)?.compressedSize ?? 0;
  yield [{ kind: 'image', image: { blobs, blobSize, entryCount: 0 } }];
}

/** Takes one layer at a time, so only one layer's bootstrap is held beside the merged result. */
const mergeLayers = async (
  values: Values,
  paths: readonly string[],
  known: readonly OwnBlob[],
  prefetch: readonly string[],
): Promise<{ merged: Merged; first: { version: RafsVersion; compressor: Compressor } }> => {
  await prepareDigests(); // v5 has digests of inodes
  const place = values.config === undefined ? undefined : await readConfig(values.config);
  const parentPath = values['parent-bootstrap'] || undefined; // '' means none
  const dictGiven = values['chunk-dict'];
  const parentError = 'load parent bootstrap';
  const parent = parentPath === undefined ? undefined : await openLayer(parentPath, parentError);
  const dict =
    dictGiven === undefined
      ? undefined
      : await openLayer(chunkDictPath(dictGiven), 'load chunk dict bootstrap');
  const lower =
    parent &&
    (await failingWith(`${parentError} ${JSON.stringify(parentPath)}`, () =>
      loadImage(parent.bootstrap),
    ));
  const merger = new Merger({
    ...(lower ? { parent: lower } : {}),
    ...(dict ? { dict: dict.bootstrap } : {}),
  });
  let first: Bootstrap | undefined;
  for (const [i, path] of paths.entries()) {
    const message = 'load bootstrap';
    const { bootstrap } = await openLayer(path, message);
    const blobs = await blobsOf(bootstrap, place);
    try {
      merger.add({ bootstrap, blobs, own: known[i]!, path });
    } catch (error) {
      if (!(error instanceof RafsError) || error.code !== 'CORRUPT') throw error;
      throw new Error(`${message} ${JSON.stringify(path)}`, { cause: error });
    }
    first ??= bootstrap;
  }
  const { version, compressor } = first!; // the parser requires one
  return { merged: merger.finish({ prefetch }), first: { version, compressor } };
};

/** The blobs of a layer; if their files are available, with what only a whole file can tell. */
const blobsOf = async (
  bootstrap: Bootstrap,
  place: BlobLocation | undefined,
): Promise<BlobInfo[]> => {
  const blobs: BlobInfo[] = [];
  for (const record of bootstrap.blobs) {
    const blob = blobElsewhere(record);
    const inlined = (record.features & BlobFeature.INLINED_FS_META) !== 0;
    blobs.push(place && inlined ? { ...blob, ...(await measured(record, place)) } : blob);
  }
  return blobs;
};

const measured = async (
  record: Bootstrap['blobs'][number],
  place: BlobLocation,
): Promise<Partial<BlobInfo>> => {
  const separate = (record.features & BlobFeature.SEPARATE) !== 0;
  const id = separate ? (record.metaFile ?? record.id) : record.id;
  const file = await openBlob({ ...record, id }, place);
  try {
    const { size } = file;
    const tail = await file.read(Math.max(0, size - BLOCK_SIZE), Math.min(size, BLOCK_SIZE));
    const header = parseSectionHeader(tail, tail.length - BLOCK_SIZE);
    const tocSize = header?.name === Section.TOC ? header.size + BLOCK_SIZE : 0;
    const hasToc = tocSize > 0 && tocSize <= Math.min(size, MAX_TOC);
    return {
      ...(separate ? { metaSize: size } : { compressedSize: size }),
      ...(hasToc ? { tocSize, tocDigest: sha256(await file.read(size - tocSize, tocSize)) } : {}),
    };
  } finally {
    await file.close();
  }
};

/** More than a blob's table of contents takes, which has five entries. */
const MAX_TOC = 0x1000;

/** Where the bootstrap goes: a file, or a directory where it is named by its sha256. */
export const bootstrapTarget = (values: Pick<Values, 'bootstrap' | 'blob-dir'>): Target => {
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

/** What the command line says about the blob of each layer. */
const knownBlobs = (values: Values, paths: readonly string[]): OwnBlob[] => {
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
  return paths.map((path, i) => ({
    id: ids === undefined ? fileIdOf(path) : Buffer.from(ids[i]!).toString('latin1'),
    keepsId: values.config !== undefined,
    ...(digests ? { digest: digests[i]! } : {}),
    ...(sizes ? { size: sizes[i]! } : {}),
    ...(tocDigests ? { tocDigest: tocDigests[i]! } : {}),
    ...(tocSizes ? { tocSize: tocSizes[i]! } : {}),
  }));
};

const digestOf = (text: string): Buffer => {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  throw new RafsError('UNSUPPORTED', `${JSON.stringify(text)} is no digest of 64 hex digits`);
};

const sizeOf =
  (option: string) =>
  (text: string): number => {
    const size = Number(text);
    if (/^\+?[0-9]+$/.test(text) && Number.isSafeInteger(size)) return size;
    throw new RafsError('UNSUPPORTED', `invalid number in ${option} option`);
  };
