/** create: builds a layer from a directory or a tar. */
import fs from 'node:fs';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { parseAttributes, type Attributes } from '../../lib/layer/attributes.js';
import { planBuild, type BuildOptions, type PathKind } from '../../lib/config/build.js';
import type { ChunkDict } from '../../lib/image/chunk-dict.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { sniff, SNIFFED_SIZE } from '../../lib/compress/sniff.js';
import { newSecret } from '../../lib/crypto/aes-xts.js';
import { located } from '../../lib/errors.js';
import type { LoadedImage } from '../../lib/image/load-image.js';
import {
  openArtifacts,
  type ArtifactWriter,
  type Target,
  type Targets,
} from '../../streams/build/artifact-writer.js';
import { dirWalk, type DirWalk, type DirWalkOptions } from '../../streams/layer/dir-walk.js';
import { releaseFifo, releaseSourceFifo } from '../../streams/io/fifo.js';
import { destroyAndWait } from '../../streams/io/destroy.js';
import { meter } from '../../streams/build/meter.js';
import {
  nativeFromDirectory,
  nativeFromTar,
  referenceFromStargzToc,
  referenceFromTar,
  run,
  tarfsFromScan,
  tarfsFromTar,
} from '../../streams/pipelines.js';
import { openSource, Source } from '../../streams/io/source.js';
import { spoolDirectory } from '../../streams/io/spool.js';
import { openTarScan, TarScan } from '../../streams/layer/tar-scan.js';
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext } from '../cli/context.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';
import { openChunkDict, openParent } from '../../streams/image/open-layers.js';
import { startProgress } from '../console/progress.js';
import { readPatterns } from '../cli/read-patterns.js';

type CreateInvocation = Extract<Invocation, { command: 'create' }>;

/** Builds a layer. Whatever goes wrong, no peer is left waiting at a FIFO that was named. */
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
    const attributes = readAttributes(build, message => log.warn(message));
    if (build.paths.outputJson !== undefined) checkTarget(build.paths.outputJson);
    for (const notice of build.notices) log.info(notice);
    for (const warning of warnings) log.warn(warning);
    await prepareCompressors(message => log.warn(message));
    const base = await openBase(build);
    const writer = await openArtifacts(targetsOf(build), context.signal);
    unopened.clear();
    unopened.add(source);
    try {
      const warn = (message: string): void => log.warn(message);
      const input = openInput(build, { prefetch: patterns, attributes, warn });
      unopened.clear();
      const workers = values.workers === undefined ? {} : { workers: values.workers };
      await runBuild(build, input, writer, { ...workers, ...base, prefetch: patterns }, context);
    } catch (error) {
      await destroyAndWait(writer);
      throw error;
    }
    report(build, writer, text => log.info(text));
  } catch (error) {
    await Promise.all([
      ...[...unopened].map(target => target !== source && target && releaseFifo(target)),
      unopened.has(source) && releaseSourceFifo(source),
    ]);
    throw error;
  }
};

const isStdin = (target: string): boolean => target === '-' || target === '/dev/stdin';

const kindOf = (target: string): PathKind => {
  const stat = isStdin(target) ? fs.fstatSync(0) : fs.statSync(target);
  if (stat.isDirectory()) return 'directory';
  if (stat.isFile()) return 'file';
  if (stat.isFIFO() || stat.isSocket()) return 'fifo'; // a socket as stdin is read like a pipe
  return stat.isCharacterDevice() ? 'char' : 'other';
};

/** Checks early that a file can be written at the end. Fails with the system's error. */
const checkTarget = (target: string): void => {
  const there = fs.statSync(target, { throwIfNoEntry: false });
  if (there?.isDirectory())
    fs.closeSync(fs.openSync(target, 'r+')); // EISDIR
  else fs.accessSync(there ? target : path.dirname(target), fs.constants.W_OK);
};

/** The attributes of external files; undefined if the build does not look for such files. */
const readAttributes = (
  { paths: { attributes: file }, source }: BuildOptions,
  warn: (message: string) => void,
): Attributes | undefined => {
  if (file === undefined) return undefined;
  try {
    const attributes = parseAttributes(fs.readFileSync(file));
    if (source === 'dir') return attributes;
  } catch (error) {
    throw located(error, { file });
  }
  warn('--attributes is of no use here: only files of a directory can be external');
  return undefined;
};

/** Where each artifact of a build goes. */
const targetsOf = (build: BuildOptions): Targets => {
  const { paths, features, source } = build;
  const { blobDir, blobCacheDir, bootstrap, externalBlob } = paths;
  const directory = blobDir ?? '.'; // planBuild ensures that it is given if needed
  const at = (file: string | undefined) => (file === undefined ? { directory } : { path: file });
  return {
    ...(blobCacheDir === undefined
      ? { blob: blobTarget(build) }
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

const blobTarget = ({ mode, source, paths: { blob, blobDir = '.' } }: BuildOptions): Target => {
  if (source === 'toc') return { discard: true }; // such a build makes no blob
  if (mode === 'tarfs') return { directory: blobDir, late: true };
  return blob === undefined ? { directory: blobDir } : { path: blob };
};

/** Path of the bootstrap of external files: that of the bootstrap, with extension .external. */
const externalOf = (bootstrap: string | undefined): string | undefined => {
  if (bootstrap === undefined) return undefined;
  const { dir, name } = path.parse(bootstrap);
  return path.join(dir, `${name}.external`);
};

/** What a layer is read from: a tar, front to back or by its headers, or a directory. */
type Input = Source | TarScan | DirWalk;

const openInput = (
  build: BuildOptions,
  given: Pick<DirWalkOptions, 'prefetch' | 'attributes' | 'warn'>,
): Input => {
  const { source } = build.paths;
  if (build.source === 'dir') {
    return dirWalk(source, {
      explicitUidGid: build.explicitUidGid,
      // whiteouts act on a parent; without one there is nothing to delete
      [build.paths.parentBootstrap === undefined ? 'dropWhiteouts' : 'bareWhiteouts']:
        build.whiteoutSpec,
      ...given,
    });
  }
  return (build.mode === 'tarfs' && openScan(source, !build.blobId)) || openSource(source);
};

/** Opens a plain tar in a regular file for its entries and digest; undefined for other sources. */
const openScan = (source: string, hashed: boolean): TarScan | undefined => {
  if (isStdin(source) || kindOf(source) !== 'file') return undefined;
  const scan = openTarScan(source, { hashed });
  if (scan && sniff(scan.peek(SNIFFED_SIZE)) === 'none') return scan;
  scan?.destroy();
  return undefined;
};

/** What a build builds on besides its source. */
interface Base {
  lower?: LoadedImage;
  dict?: ChunkDict;
}

const openBase = async (build: BuildOptions): Promise<Base> => {
  const { chunkDict, parentBootstrap } = build.paths;
  const settings = {
    chunkSize: build.chunkSize,
    explicitUidGid: build.explicitUidGid,
    version: build.fsVersion,
    digester: build.digester,
    tarfs: build.mode === 'tarfs',
  };
  return {
    ...(chunkDict === undefined ? {} : { dict: await openChunkDict(chunkDict, settings) }),
    ...(parentBootstrap === undefined
      ? {}
      : { lower: await openParent(parentBootstrap, settings) }),
  };
};

/** Pipelines that make a layer from a tar, by mode. */
const FROM_TAR = { native: nativeFromTar, zran: referenceFromTar, tarfs: tarfsFromTar } as const;

const runBuild = async (
  build: BuildOptions,
  input: Input,
  writer: ArtifactWriter,
  { prefetch, ...given }: Base & { prefetch: readonly string[]; workers?: number },
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
      ...given,
      cache: build.paths.blobCacheDir !== undefined,
      encrypted: build.encrypt,
      secret: build.encrypt ? newSecret() : undefined,
      prefetch: build.prefetchPolicy === 'fs' ? prefetch : [],
      // the data of a tar stay in its order, so what is wanted first cannot be put first
      readahead: build.prefetchPolicy === 'blob' && build.source === 'dir' ? prefetch : [],
      external: build.source === 'dir',
      directory: build.paths.blobDir ?? spoolDirectory(build.paths.blob ?? '-'),
      sink: writer,
      meter: meter(counters),
    };
    let stages: Duplex;
    if (build.source === 'toc') {
      stages = await referenceFromStargzToc({
        ...options,
        blobId: build.blobId!, // planBuild requires it, and the size
        blobSize: build.blobDataSize!,
        warn: message => log.warn(message),
      });
    } else if (input instanceof Source) {
      const compression = sniff(await input.peek(SNIFFED_SIZE));
      stages = await FROM_TAR[build.mode]({
        ...options,
        compression,
        input,
      });
    } else if (input instanceof TarScan) {
      stages = tarfsFromScan(options);
    } else {
      stages = await nativeFromDirectory({ ...options, walk: input });
    }
    await run(input, stages, writer, signal);
    bar.done();
  } catch (error) {
    bar.failed();
    await destroyAndWait(input);
    throw error;
  }
};

const report = (
  build: BuildOptions,
  writer: ArtifactWriter,
  info: (text: string) => void,
): void => {
  const { blobs, externalBlobs = [], blobSize } = writer.image!; // from the finalizer's last part
  const { bootstrap, external } = writer.paths;
  if (build.paths.outputJson !== undefined) {
    const result = {
      bootstrap: bootstrap ?? '',
      blobs,
      externalBootstrap: external ?? '',
      externalBlobs,
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
      `data blobs: [${quoted(blobs)}]`,
      ...(externalBlobs.length === 0
        ? []
        : [
            `external meta blob path: ${external ?? '<none>'}`,
            `external data blobs: [${quoted(externalBlobs)}]`,
          ]),
    ].join('\n'),
  );
};

const quoted = (ids: readonly string[]): string => ids.map(id => `"${id}"`).join(', ');
