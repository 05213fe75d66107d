/** create: a layer from a directory or a tar. */
import fs from 'node:fs';
import path from 'node:path';
import { finished, type Duplex, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { planBuild, type BuildOptions, type PathKind } from '../lib/build-plan.js';
import { prepareCompressors } from '../lib/compress.js';
import { sniff, SNIFFED_SIZE } from '../lib/compression.js';
import { RafsError } from '../lib/errors.js';
import type { BuiltImage } from '../lib/parts.js';
import { parsePrefetchPatterns } from '../lib/prefetch.js';
import { openArtifacts, type ArtifactWriter, type Targets } from '../streams/artifact-writer.js';
import { dirWalk } from '../streams/dir-walk.js';
import { releaseFifo, releaseSourceFifo } from '../streams/fifo.js';
import { meter } from '../streams/meter.js';
import {
  nativeFromDirectory,
  nativeFromTar,
  run,
  tarfsFromScan,
  tarfsFromTar,
} from '../streams/pipelines.js';
import { openSource, Source } from '../streams/source.js';
import { openTarScan, TarScan } from '../streams/tar-scan.js';
import type { Invocation } from './command-line.js';
import type { CommandContext } from './command.js';
import { outputJson, writeOutputJson } from './output-json.js';
import { startProgress } from './progress.js';

type CreateInvocation = Extract<Invocation, { command: 'create' }>;

/** Builds a layer. Whatever goes wrong, nobody is left waiting at a FIFO that was named. */
export const create = async (
  { values, explicit, positionals }: CreateInvocation,
  context: CommandContext,
): Promise<void> => {
  const source = positionals[0]!; // the parser requires it
  const { log } = context;
  const unopened = new Set([values.blob, values.bootstrap, values['external-blob'], source]);
  try {
    const { patterns, warnings } = await readPatterns(values['prefetch-policy']);
    const build = planBuild({ values, explicit, source, kindOf });
    refuseUnbuilt(build);
    for (const notice of build.notices) log.info(notice);
    for (const warning of warnings) log.warn(warning);
    const { exact } = await prepareCompressors();
    if (!exact && build.compressor === 'zstd') {
      log.warn('zstd-napi is not installed: the blob will be valid, but not that of nydus-image');
    }
    const writer = await openArtifacts(targetsOf(build), context.signal);
    unopened.clear();
    unopened.add(source);
    try {
      const input = openInput(build, patterns, log.warn);
      unopened.clear();
      const workers = values.workers === undefined ? {} : { workers: Number(values.workers) };
      await runBuild(build, input, writer, { ...workers, prefetch: patterns }, context);
    } catch (error) {
      await gone(writer);
      throw error;
    }
    report(build, writer, log.info);
  } catch (error) {
    await Promise.all([
      ...[...unopened].map(target => target !== source && target && releaseFifo(target)),
      unopened.has(source) && releaseSourceFifo(source),
    ]);
    throw error;
  }
};

/** Prefetch patterns are read before anything else is checked: the caller may be writing them. */
const readPatterns = async (policy: BuildOptions['prefetchPolicy']) =>
  parsePrefetchPatterns(policy === 'none' ? Buffer.alloc(0) : await buffer(process.stdin));

const isStdin = (target: string): boolean => target === '-' || target === '/dev/stdin';

const kindOf = (target: string): PathKind => {
  const stat = isStdin(target) ? fs.fstatSync(0) : fs.statSync(target);
  if (stat.isDirectory()) return 'directory';
  if (stat.isFile()) return 'file';
  if (stat.isFIFO() || stat.isSocket()) return 'fifo'; // a socket as stdin is read like a pipe
  return stat.isCharacterDevice() ? 'char' : 'other';
};

/** What the command line may ask for and no pipeline makes yet. */
const UNBUILT: readonly [what: string, asked: (build: BuildOptions) => boolean][] = [
  ['--type of mode Zran', build => build.mode === 'zran'],
  ['--fs-version 5', build => build.fsVersion === 5],
  ['--batch-size', build => build.batchSize > 0],
  ['--encrypt', build => build.encrypt],
  ['--chunk-dict', build => build.paths.chunkDict !== undefined],
  ['--parent-bootstrap', build => build.paths.parentBootstrap !== undefined],
  ['--attributes', build => build.paths.attributes !== undefined],
];

const refuseUnbuilt = (build: BuildOptions): void => {
  for (const [what, asked] of UNBUILT) {
    if (asked(build))
      throw new RafsError('UNSUPPORTED', `${what} is not supported by this version`);
  }
};

/** Where each artifact of a build goes. */
const targetsOf = ({ mode, paths, features, source }: BuildOptions): Targets => {
  const { blob, blobDir, blobCacheDir, bootstrap, externalBlob } = paths;
  const directory = blobDir ?? '.'; // planBuild has seen that it is there where it is needed
  const at = (file: string | undefined) => (file === undefined ? { directory } : { path: file });
  return {
    ...(blobCacheDir === undefined
      ? { blob: mode === 'tarfs' ? { directory, late: true } : at(blob) }
      : {
          blob: { discard: true },
          'cache-data': { directory: blobCacheDir },
          'cache-meta': { directory: blobCacheDir },
        }),
    ...(features.inlineMeta ? {} : { bootstrap: at(bootstrap) }),
    ...(source === 'dir' && !features.inlineMeta ? { external: at(externalOf(bootstrap)) } : {}),
    ...(source === 'dir' && (externalBlob !== undefined || features.inlineMeta)
      ? { 'external-blob': externalBlob === undefined ? { discard: true } : { path: externalBlob } }
      : {}),
  };
};

/** Path of the bootstrap of external files: the extension replaced, or one added. */
const externalOf = (bootstrap: string | undefined): string | undefined => {
  if (bootstrap === undefined) return undefined;
  const { dir, name } = path.parse(bootstrap);
  return path.join(dir, `${name}.external`);
};

const openInput = (
  build: BuildOptions,
  prefetch: readonly string[],
  warn: (message: string) => void,
): Readable => {
  const { source } = build.paths;
  if (build.source === 'dir') {
    return dirWalk(source, {
      explicitUidGid: build.explicitUidGid,
      dropWhiteouts: build.whiteoutSpec,
      prefetch,
      warn,
    });
  }
  return (build.mode === 'tarfs' && build.blobId && openScan(source)) || openSource(source);
};

/** A plain tar in a regular file, read for its entries only; undefined if it is none. */
const openScan = (source: string): TarScan | undefined => {
  if (isStdin(source) || kindOf(source) !== 'file') return undefined;
  const scan = openTarScan(source);
  if (scan && sniff(scan.peek(SNIFFED_SIZE)) === 'none') return scan;
  scan?.destroy();
  return undefined;
};

const runBuild = async (
  build: BuildOptions,
  input: Readable,
  writer: ArtifactWriter,
  { prefetch, workers }: { prefetch: readonly string[]; workers?: number },
  { log, progress, signal }: CommandContext,
): Promise<void> => {
  const measured = input instanceof Source || input instanceof TarScan ? input : undefined;
  const counters = {
    files: 0,
    get bytesIn() {
      return measured?.bytesRead ?? 0;
    },
    get bytesOut() {
      return writer.bytesWritten;
    },
  };
  const bar = startProgress({ mode: progress, title: 'create', totalIn: measured?.size });
  bar.update(counters);
  log.beforeRecord = () => bar.hide();
  try {
    const options = {
      ...build,
      ...build.features,
      workers,
      cache: build.paths.blobCacheDir !== undefined,
      prefetch: build.prefetchPolicy === 'fs' ? prefetch : [],
      external: build.source === 'dir',
      meter: meter(counters),
    };
    let stages: Duplex;
    if (input instanceof Source) {
      const compression = sniff(await input.peek(SNIFFED_SIZE));
      stages =
        build.mode === 'tarfs'
          ? tarfsFromTar({ ...options, compression })
          : await nativeFromTar({ ...options, compression });
    } else if (input instanceof TarScan) {
      stages = tarfsFromScan(options);
    } else {
      stages = await nativeFromDirectory(options);
    }
    await run(input, stages, writer, signal);
    bar.done();
  } catch (error) {
    bar.failed();
    await gone(input);
    throw error;
  }
};

/** Destroys a stream and waits until it has given back what it holds. */
const gone = (stream: Readable | ArtifactWriter): Promise<void> =>
  new Promise(resolve => {
    if (stream.closed) {
      resolve();
      return;
    }
    finished(stream, () => undefined); // its failure is known by now
    stream.once('close', resolve);
    stream.destroy();
  });

const report = (
  build: BuildOptions,
  writer: ArtifactWriter,
  info: (text: string) => void,
): void => {
  const { blobs, blobSize } = writer.image as BuiltImage; // the finalizer's last part
  const { bootstrap, external } = writer.paths;
  if (build.paths.outputJson !== undefined) {
    const result = {
      bootstrap: bootstrap ?? '',
      blobs,
      externalBootstrap: external ?? '',
      fsVersion: build.fsVersion,
      compressor: build.compressor,
    };
    writeOutputJson(build.paths.outputJson, outputJson(result, { pretty: true }));
  }
  info(
    [
      'successfully built RAFS filesystem: ',
      `meta blob path: ${bootstrap ?? '<none>'}`,
      `data blob size: 0x${blobSize.toString(16)}`,
      `data blobs: [${blobs.map(id => `"${id}"`).join(', ')}]`,
    ].join('\n'),
  );
};
