/** chunkdict generate: collects chunks of images, and makes a dictionary of the best of them. */
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import type { StoredChunk } from '../../../lib/model/stored.js';
import { blobElsewhere } from '../../../lib/bootstrap/blob-table.js';
import { planChunkDict, type PlannedDict } from '../../../lib/chunkdict/image.js';
import type { ChunkRows } from '../../../lib/chunkdict/rows.js';
import { selectChunks } from '../../../lib/chunkdict/select.js';
import { settingsOf } from '../../../lib/bootstrap/settings.js';
import { prepareDigests, NO_DIGEST } from '../../../lib/crypto/digest.js';
import { RafsError } from '../../../lib/errors.js';
import { shown } from '../../../lib/model/names.js';
import { openArtifacts, type ArtifactPart } from '../../../streams/build/artifact-writer.js';
import { separateBootstrap } from '../../../streams/build/bootstrap-finalizer.js';
import { releaseFifo } from '../../../streams/io/fifo.js';
import { destroyAndWait } from '../../../streams/io/destroy.js';
import { readConfig } from '../../../streams/image/blob-location.js';
import { ChunkDictDatabase, type NamedImage } from './database.js';
import type { CommandContext, Run } from '../../cli/context.js';
import { bootstrapTarget } from '../merge.js';
import { readImage } from '../../../streams/image/read-image.js';
import { outputJson, writeOutputJson } from '../../console/output-json.js';
import { readPatterns } from '../../cli/read-patterns.js';

const MIB = 0x100000;

export const run: Run<'chunkdict generate'> = async ({ values, positionals }, context) => {
  const { log } = context;
  let unopened = values.bootstrap;
  try {
    // a dictionary has nothing to prefetch, but the option is handled as in other commands
    const { warnings } = await readPatterns(values['prefetch-policy']);
    for (const warning of warnings) log.warn(warning);
    if (values.config !== undefined) await readConfig(values.config);
    const sources = await openSources(positionals, context);
    const url = databasePath(values.database);
    const target = bootstrapTarget(values);
    const { rows, blobs } = collect(url, sources);
    log.info(`Chunkdict metadata is saved at: ${JSON.stringify(values.database)}`);
    const first = sources[0]!.bootstrap; // the parser requires one
    const planned = choose(rows, blobs, first, context);
    const writer = await openArtifacts({ bootstrap: target }, context);
    unopened = undefined;
    try {
      const ids = planned.blobs.map(({ id }) => id);
      await pipeline(Readable.from([...parts(planned, ids)]), writer, { signal: context.signal });
      if (values['output-json'] === undefined) return;
      const result = {
        bootstrap: writer.paths.bootstrap ?? '',
        blobs: ids.map(shown),
        fsVersion: first.version,
        compressor: first.compressor,
      };
      writeOutputJson(values['output-json'], outputJson(result, { pretty: true }), context);
    } catch (error) {
      await destroyAndWait(writer);
      throw error;
    }
  } finally {
    if (unopened !== undefined) await releaseFifo(unopened);
  }
};

interface Source {
  bootstrap: Bootstrap;
  image: string;
  version: string;
}

const openSources = async (
  paths: readonly string[],
  context: CommandContext,
): Promise<Source[]> => {
  await prepareDigests();
  const opened: (readonly [file: string, bootstrap: Bootstrap])[] = [];
  for (const file of paths) opened.push([file, (await readImage(file)).bootstrap]);
  const version = opened[0]?.[1].version;
  if (opened.some(([, bootstrap]) => bootstrap.version !== version)) {
    for (const [file, bootstrap] of opened) {
      const name = JSON.stringify(file);
      await context.stdout(`Bootstrap path ${name} has version V${bootstrap.version}\n`);
    }
    const message = 'Bootstrap versions are inconsistent, cannot use chunkdict.';
    throw new RafsError('UNSUPPORTED', message);
  }
  return opened.map(([file, bootstrap]) => {
    if (bootstrap.tarfs) {
      throw new RafsError('UNSUPPORTED', 'chunks of a tar have no digests', { file });
    }
    return { bootstrap, ...nameOf(file) };
  });
};

/** The name and tag of an image, taken from the directory that its bootstrap is in. */
const nameOf = (file: string): { image: string; version: string } => {
  const directory = path.basename(path.dirname(path.normalize(file)));
  if (['', '.', '..'].includes(directory)) {
    throw new RafsError('UNSUPPORTED', 'Invalid Bootstrap directory name', { file });
  }
  const [version, image] = directory.split(':').reverse();
  if (image === undefined) throw new RafsError('UNSUPPORTED', 'Invalid image name None', { file });
  return { image, version: version! }; // split() gives at least one part
};

/** The path in a URL such as sqlite:///path/to/chunkdict.db. */
const databasePath = (url: string): string => {
  const [type, file, ...more] = url.split('://');
  if (!file || more.length > 0 || !/^[/:]/.test(file)) {
    throw new RafsError('UNSUPPORTED', `Invalid database URL: ${url}`);
  }
  if (type !== 'sqlite') {
    const example = "'sqlite:///path/to/chunkdict.db'";
    const message = `Unsupported database type: ${type}, please use a valid database URI, such as ${example}.`;
    throw new RafsError('UNSUPPORTED', message);
  }
  return file;
};

/** Adds the sources to the database; returns everything in it. */
const collect = (file: string, sources: readonly Source[]) => {
  const secret = sources.some(({ bootstrap }) =>
    bootstrap.blobs.some(({ cipherIv }) => cipherIv !== undefined),
  );
  const database = new ChunkDictDatabase(file, { secret });
  try {
    database.save(
      sources.map(({ bootstrap, ...name }): NamedImage => ({
        ...name,
        blobs: bootstrap.blobs.map(blobElsewhere),
        chunks: chunksOf(bootstrap),
      })),
    );
    return { rows: database.chunks(), blobs: database.blobs() };
  } finally {
    database.close();
  }
};

/** The chunks of all files, except those of external blobs, which have no digests. */
function* chunksOf(bootstrap: Bootstrap): Iterable<StoredChunk> {
  for (const { inode } of walk(bootstrap)) {
    if (inode.type !== 'file') continue;
    for (const chunk of bootstrap.chunks(inode)) {
      if (!chunk.digest.equals(NO_DIGEST)) yield chunk;
    }
  }
}

const choose = (
  rows: ChunkRows,
  blobs: Parameters<typeof planChunkDict>[2],
  first: Bootstrap,
  { log }: CommandContext,
): PlannedDict => {
  const sizeOf = (list: Iterable<number>): number => {
    let size = 0;
    for (const row of list) size += rows.compressedSize.get(row);
    return size / MIB;
  };
  const { rows: chosen, noise } = selectChunks(rows);
  log.info(`All chunk size is ${sizeOf(Array(rows.count).keys())}`);
  log.info(`Chunkdict size is ${sizeOf(chosen)}`);
  const wanted = new Set(chosen.map(row => rows.blobs.list[rows.blob.get(row)]!));
  const { compressor } = first;
  const settings = { ...settingsOf(first), compressor };
  const planned = planChunkDict(rows, wanted, blobs, settings);
  for (const warning of planned.warnings) log.warn(shown(warning));
  log.info(`The length of chunkdict is ${planned.chunkCount}`);
  if (noise.length > 0) {
    const names = noise.map(image => rows.images.list[image]!);
    log.info(['It is not recommended to use image deduplication', ...names].join('\n'));
  }
  return planned;
};

function* parts({ bootstrap, blobs }: PlannedDict, ids: readonly string[]) {
  for (const part of separateBootstrap('bootstrap', bootstrap)) {
    yield [part] satisfies ArtifactPart[];
  }
  const blobSize = blobs.at(-1)?.compressedSize ?? 0;
  const image = { blobs: ids, blobSize, entryCount: 0 };
  yield [{ kind: 'image', image }] satisfies ArtifactPart[];
}
