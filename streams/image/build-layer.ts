/** Runs a build that is decided: opens what it reads and writes, and the pipeline between them. */
import fs from 'node:fs';
import type { Duplex, Writable } from 'node:stream';
import type { Attributes } from '../../lib/layer/attributes.js';
import type { Overrides } from '../../lib/layer/overrides.js';
import type { BuildOptions, PathKind } from '../../lib/config/build.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { newSecret } from '../../lib/crypto/aes-xts.js';
import type { ChunkDict } from '../../lib/image/chunk-dict.js';
import type { LoadedImage } from '../../lib/image/load-image.js';
import type { Artifact } from '../../lib/model/blob.js';
import { held, withExtension } from '../../lib/model/names.js';
import {
  openArtifacts,
  type ArtifactWriter,
  type Target,
  type Targets,
} from '../build/artifact-writer.js';
import { meter } from '../build/meter.js';
import { destroyAndWait } from '../io/destroy.js';
import { releaseFifo, releaseSourceFifo } from '../io/fifo.js';
import { newPath, refuseSameFile } from '../files/same-file.js';
import { isOwnTemporary } from '../files/temporary-name.js';
import { openSource, Source, sourceOf } from '../io/source.js';
import { spoolDirectory } from '../io/spool.js';
import { dirWalk, type DirWalk, type DirWalkOptions } from '../layer/dir-walk.js';
import { isPlain, sniff, SNIFFED_SIZE } from '../layer/decompress.js';
import { openTarScan, TarScan } from '../layer/tar-scan.js';
import {
  nativeFromDirectory,
  nativeFromTar,
  referenceFromStargzToc,
  referenceFromTar,
  run,
  tarfsFromScan,
  tarfsFromTar,
} from '../pipelines.js';
import { openChunkDict, openParent } from './open-layers.js';
import { reporting, SILENT, type RunOptions } from './run-options.js';

/** What a build needs besides its settings. */
export interface LayerGiven extends RunOptions {
  build: BuildOptions;
  /** instead of the path in `build` */
  source?: AsyncIterable<Uint8Array> | undefined;
  /** instead of the paths in `build` */
  streams?: { readonly [A in Artifact]?: Writable } | undefined;
  /** paths that are wanted first, as `parsePrefetchPatterns` makes them */
  prefetch?: readonly string[] | undefined;
  attributes?: Attributes | undefined;
  /** files that are written meanwhile, besides those in `build`: they are not part of a directory */
  ownFiles?: readonly string[] | undefined;
  /** what is recorded of a directory instead of what its file system says */
  overrides?: Overrides | undefined;
  /** number of threads that compress */
  workers?: number | undefined;
}

/** What a build has made. */
export interface BuiltLayer {
  /** paths of the artifacts that lie in files */
  paths: { readonly [A in Artifact]?: string };
  /** ids of all blobs of the image, by blob index */
  blobs: readonly string[];
  /** those of the image of external files */
  externalBlobs: readonly string[];
  /** bytes of the last blob */
  blobSize: number;
  /** bytes of the source, as it is stored */
  bytesIn: number;
  /** bytes of all artifacts */
  bytesOut: number;
  /** files, directories and other entries of the layer */
  entryCount: number;
}

/** Builds a layer. Whatever goes wrong, no peer is left waiting at a FIFO that was named. */
export const buildLayer = async (given: LayerGiven): Promise<BuiltLayer> => {
  const { build, signal, fsync, log = SILENT } = given;
  const unopened = new Set(fifosOf(build));
  try {
    const warn = (message: string): void => log.warn(message);
    refuseInputs(given);
    await prepareCompressors(warn);
    const base = await openBase(build);
    const writer = await openArtifacts(
      { ...targetsOf(build), ...streamTargets(given) },
      { signal, fsync },
    );
    unopened.clear();
    if (!given.source) unopened.add(build.paths.source);
    try {
      const input = openInput(given, warn);
      unopened.clear();
      return await runBuild(given, input, writer, base);
    } catch (error) {
      await destroyAndWait(writer);
      throw error;
    }
  } catch (error) {
    await releaseUnopened(unopened, build.paths.source);
    throw error;
  }
};

/** Fails if what is read would be overwritten. */
const refuseInputs = (given: LayerGiven): void => {
  const { build, source } = given;
  const { paths } = build;
  const read = { source: source ? undefined : paths.source, parent: paths.parentBootstrap };
  refuseSameFile(
    pathsOf({ ...targetsOf(build), ...streamTargets(given) }).map(path => ({
      name: 'an output',
      path,
    })),
    Object.entries(read).flatMap(([name, path]) => (path === undefined ? [] : [{ name, path }])),
  );
};

/** Every path of a build that may be a FIFO with somebody at its other end. */
const fifosOf = ({ paths }: BuildOptions): string[] =>
  [paths.blob, paths.bootstrap, paths.externalBlob, paths.source].filter(one => one !== undefined);

/** Lets the peers of FIFOs go on that will not be opened. */
export const releaseUnopened = async (
  unopened: Iterable<string>,
  source: string,
): Promise<void> => {
  await Promise.all(
    [...unopened].map(target =>
      target === source ? releaseSourceFifo(source) : releaseFifo(target),
    ),
  );
};

const isStdin = (target: string): boolean => target === '-' || target === '/dev/stdin';

/** What a path leads to. Fails with the system's error. */
export const kindOf = (target: string): PathKind => {
  const stat = isStdin(target) ? fs.fstatSync(0) : fs.statSync(target);
  if (stat.isDirectory()) return 'directory';
  if (stat.isFile()) return 'file';
  if (stat.isFIFO() || stat.isSocket()) return 'fifo'; // a socket as stdin is read like a pipe
  return stat.isCharacterDevice() ? 'char' : 'other';
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
const externalOf = (bootstrap: string | undefined): string | undefined =>
  bootstrap === undefined ? undefined : withExtension(bootstrap, 'external');

/** Streams that artifacts go to instead of files. */
const streamTargets = ({ streams = {} }: LayerGiven): Targets =>
  Object.fromEntries(Object.entries(streams).map(([artifact, stream]) => [artifact, { stream }]));

/** What a layer is read from: a tar, front to back or by its headers, or a directory. */
type Input = Source | TarScan | DirWalk;

const openInput = (
  { build, source: given, prefetch = [], attributes, ownFiles = [], overrides }: LayerGiven,
  warn: NonNullable<DirWalkOptions['warn']>,
): Input => {
  if (given) return sourceOf(given);
  const { source } = build.paths;
  if (build.source === 'dir') {
    return dirWalk(source, {
      explicitUidGid: build.explicitUidGid,
      // whiteouts act on a parent; without one there is nothing to delete
      [build.paths.parentBootstrap === undefined ? 'dropWhiteouts' : 'bareWhiteouts']:
        build.whiteoutSpec,
      prefetch,
      ...(attributes ? { attributes } : {}),
      overrides,
      leaveOut: ownFilter([...pathsOf(targetsOf(build)), ...ownFiles]),
      warn,
    });
  }
  return (
    (build.mode === 'tarfs' && openScan(source, { hashed: !build.blobId, warn })) ||
    openSource(source)
  );
};

const pathsOf = (targets: Targets): string[] =>
  Object.values(targets).flatMap(target => ('path' in target ? [target.path] : []));

/** Tells files that a build itself writes, also while they have no name yet. */
const ownFilter = (files: readonly string[]): ((path: Buffer) => boolean) => {
  const own = new Set(files.filter(file => file !== '-').map(file => held(newPath(file))));
  return file => {
    const text = file.toString('latin1');
    return own.has(text) || isOwnTemporary(text.slice(text.lastIndexOf('/') + 1));
  };
};

/** Opens a plain tar in a regular file for its entries and digest; undefined for other sources. */
const openScan = (
  source: string,
  options: Parameters<typeof openTarScan>[1],
): TarScan | undefined => {
  if (isStdin(source) || kindOf(source) !== 'file') return undefined;
  const scan = openTarScan(source, options);
  if (scan && isPlain(scan.peek(SNIFFED_SIZE))) return scan;
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
  { build, prefetch = [], workers, streams, signal, onProgress, log = SILENT }: LayerGiven,
  input: Input,
  writer: ArtifactWriter,
  base: Base,
): Promise<BuiltLayer> => {
  const measured = input instanceof Source || input instanceof TarScan ? input : undefined;
  const counters = {
    files: 0,
    bytesExpected: measured?.size,
    get bytesIn() {
      return measured?.bytesRead ?? 0;
    },
    get bytesOut() {
      return writer.bytesWritten;
    },
  };
  const options = {
    ...build,
    ...build.features,
    ...base,
    ...(workers === undefined ? {} : { workers }),
    cache: build.paths.blobCacheDir !== undefined,
    encrypted: build.encrypt,
    secret: build.encrypt ? newSecret() : undefined,
    prefetch: build.prefetchPolicy === 'fs' ? prefetch : [],
    // the data of a tar stay in its order, so what is wanted first cannot be put first
    readahead: build.prefetchPolicy === 'blob' && build.source === 'dir' ? prefetch : [],
    external: build.source === 'dir',
    directory: build.paths.blobDir ?? spoolDirectory(build.paths.blob ?? '-'),
    // a stream may keep what it is given, so stored bytes must have memory of their own
    ...(streams ? {} : { sink: writer }),
    meter: meter(counters),
    warn: (message: string): void => log.warn(message),
  };
  const stagesFor = async (): Promise<Duplex> => {
    if (build.source === 'toc') {
      return referenceFromStargzToc({
        ...options,
        blobId: build.blobId!, // planBuild requires it, and the size
        blobSize: build.blobDataSize!,
      });
    }
    if (input instanceof Source) {
      const compression = sniff(await input.peek(SNIFFED_SIZE));
      return FROM_TAR[build.mode]({ ...options, compression, input });
    }
    if (input instanceof TarScan) return tarfsFromScan(options);
    return nativeFromDirectory({ ...options, walk: input });
  };
  try {
    await reporting(onProgress, counters, async () =>
      run(input, await stagesFor(), writer, signal),
    );
  } catch (error) {
    await destroyAndWait(input);
    throw error;
  }
  const { blobs, externalBlobs = [], blobSize, entryCount } = writer.image!; // the last part
  const { bytesIn, bytesOut } = counters;
  return { paths: writer.paths, blobs, externalBlobs, blobSize, bytesIn, bytesOut, entryCount };
};
