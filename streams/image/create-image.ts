/** Builds a layer, or an image of one layer, from a tar, a directory or an unchanged layer. */
import type { RafsVersion } from '../../lib/model/version.js';
import { tmpdir } from 'node:os';
import type { Writable } from 'node:stream';
import {
  WRITTEN_COMPRESSORS,
  type Compressor,
  type WrittenCompressor,
} from '../../lib/layout/compressors.js';
import { planBuild, type BuildOptions } from '../../lib/config/build.js';
import {
  TYPE_NAMES,
  type BuildValues,
  type PrefetchPolicy,
  type TypeName,
} from '../../lib/config/conversions.js';
import type { Digester } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import type { Attributes } from '../../lib/layer/attributes.js';
import { parsePrefetchPatterns } from '../../lib/layer/prefetch.js';
import type { WhiteoutSpec } from '../../lib/layer/whiteout.js';
import { buildLayer, kindOf, type BuiltLayer } from './build-layer.js';
import { SILENT, type RunOptions } from './run-options.js';

/** What a layer is stored as. */
export interface LayerFormat {
  /** version of RAFS; default: 6 */
  fsVersion?: RafsVersion;
  /** bytes of a chunk, a power of 2 from 4 KiB to 16 MiB; default: 1 MiB */
  chunkSize?: number;
  /** chunks of small files are stored in batches of fewer bytes than this; default: 0, they are not */
  batchSize?: number;
  /** default: zstd */
  compressor?: WrittenCompressor;
  /** names chunks; default: blake3 */
  digester?: Digester;
  /** chunks start at multiples of 4 KiB of the uncompressed blob; in v6 they always do */
  alignedChunks?: boolean;
  /** record who owns what; default: true */
  owners?: boolean;
  /** of all files of a directory, instead of their own */
  owner?: { uid: number; gid: number };
  /** in seconds since 1970: what of a directory was changed later is recorded as changed then */
  mtimeClamp?: number;
  /** how the source says that a lower name is deleted; default: oci */
  whiteouts?: WhiteoutSpec;
  /** encrypt the chunks, with a random key that the bootstrap keeps; default: false */
  encrypt?: boolean;
  /** instead of the sha256 of the blob */
  blobId?: string;
}

/** Which other images a layer is laid on, and what of it is wanted first. */
export interface LayerBase {
  /** bootstrap of the image below; the result is then an image of both */
  parent?: string | undefined;
  /** bootstrap of the image whose chunks are used instead of storing them again */
  chunkDict?: string | undefined;
  /** paths that are wanted first, and whether the bootstrap names them or the blob begins with them */
  prefetch?: { policy: Exclude<PrefetchPolicy, 'none'>; paths: readonly string[] };
  /** number of threads that compress; 0: none; default: one less than there are cores */
  workers?: number;
}

/** Options of {@link createImage}. */
export interface CreateImageOptions extends LayerFormat, LayerBase, RunOptions {
  /** path of a tar, directory or eStargz TOC ('-': standard input), or the bytes of a tar */
  source: string | AsyncIterable<Uint8Array>;
  /** what the source is and what becomes of it; default: tar-rafs, a tar of any compression */
  type?: TypeName;
  /** where the data go: a file, a FIFO, or a stream that is ended; default: into `blobDir` */
  blob?: string | Writable;
  /** where the metadata go; default: into `blobDir` */
  bootstrap?: string | Writable;
  /** directory of files that are named by the sha256 of their content */
  blobDir?: string;
  /** directory for what a node would cache of the blob, instead of the blob */
  blobCacheDir?: string;
  /** append the bootstrap to the blob instead of writing it beside; default: false */
  inlineBootstrap?: boolean;
  /** end the blob with a table of its sections; default: false */
  toc?: boolean;
  /** which files of a directory lie in other blobs, as `parseAttributes` reads it */
  attributes?: Attributes;
  /** where the blob of the image of external files goes, if it is not to be dropped */
  externalBlob?: string;
  /** where the data start in the file that they end up in; default: 0 */
  blobOffset?: number;
  /** bytes of the layer that an eStargz TOC belongs to */
  blobDataSize?: number;
}

/** What {@link createImage} has made. */
export interface CreatedImage {
  /** path of the bootstrap, if it lies in a file of its own */
  bootstrap: string | undefined;
  /** path of the blob, if it lies in a file */
  blob: string | undefined;
  /** ids of all blobs of the image, by blob index; the last one is new, if there was anything new */
  blobs: readonly string[];
  /** path of the bootstrap of external files, which every build of a directory has */
  externalBootstrap: string | undefined;
  /** ids of the blobs of external files */
  externalBlobs: readonly string[];
  /** bytes of the last blob */
  blobSize: number;
  /** bytes of the source, as it is stored */
  bytesIn: number;
  /** bytes of everything that was written */
  bytesOut: number;
  /** files, directories and other entries of the source */
  entryCount: number;
  fsVersion: RafsVersion;
  /** the one in effect */
  compressor: Compressor;
  chunkSize: number;
}

/**
 * Builds a layer. It is done when everything is written; nothing gets its final name before that.
 *
 * Options that contradict each other fail with the code UNSUPPORTED or LIMIT, in the words of the
 * command line.
 *
 * @example
 * ```js
 * import { createImage } from 'rafs-stream';
 *
 * const { blobs } = await createImage({
 *   source: 'layer.tar.gz',
 *   bootstrap: 'layer.boot',
 *   blob: 'layer.blob',
 *   compressor: 'lz4_block',
 * });
 * console.log(blobs.length);
 * ```
 */
export const createImage = async (options: CreateImageOptions): Promise<CreatedImage> => {
  const { source, blob, bootstrap, attributes, prefetch, workers, signal } = options;
  const { log = SILENT, fsync, onProgress } = options;
  signal?.throwIfAborted();
  const isPath = typeof source === 'string';
  const build = planBuild({
    values: valuesOf(options),
    explicit: explicitOf(options),
    source: isPath ? source : 'stream',
    kindOf: path => (!isPath && path === 'stream' ? 'fifo' : kindOf(path)),
  });
  if (build.source !== 'dir' && (options.owner ?? options.mtimeClamp) !== undefined) {
    throw new RafsError('UNSUPPORTED', 'owner and mtimeClamp are for directories');
  }
  for (const notice of build.notices) log.info(notice);
  const streams = {
    ...(typeof blob === 'object' ? { blob } : {}),
    ...(typeof bootstrap === 'object' ? { bootstrap } : {}),
  };
  const built = await buildLayer({
    build,
    source: isPath ? undefined : source,
    streams: Object.keys(streams).length > 0 ? streams : undefined,
    prefetch: patternsOf(prefetch, log.warn.bind(log)),
    attributes,
    overrides: { owner: options.owner, mtimeClamp: options.mtimeClamp },
    workers,
    signal,
    fsync,
    onProgress,
    log,
  });
  return createdImage(build, built);
};

const createdImage = (
  { fsVersion, compressor, chunkSize }: BuildOptions,
  { paths, ...built }: BuiltLayer,
): CreatedImage => ({
  bootstrap: paths.bootstrap,
  blob: paths.blob,
  externalBootstrap: paths.external,
  ...built,
  fsVersion,
  compressor,
  chunkSize,
});

/** The same in the words of the command line, whose rules are those of every build. */
const valuesOf = (options: CreateImageOptions): BuildValues => {
  const { type = 'tar-rafs', fsVersion = 6, compressor = 'zstd', digester = 'blake3' } = options;
  const { blob, bootstrap, prefetch, chunkSize, blobDataSize } = options;
  const whiteouts = options.whiteouts ?? 'oci';
  const policy = prefetch?.policy ?? 'none';
  oneOf('type', type, TYPE_NAMES);
  oneOf('fsVersion', fsVersion, [5, 6]);
  oneOf('compressor', compressor, WRITTEN_COMPRESSORS);
  oneOf('digester', digester, ['blake3', 'sha256']);
  oneOf('whiteouts', whiteouts, ['oci', 'overlayfs', 'none']);
  oneOf('prefetch.policy', policy, ['fs', 'blob', 'none']);
  // the tar that Tarfs leaves beside has no name before it is complete; a stream needs none
  const streamed = type === 'tar-tarfs' && typeof blob === 'object';
  return {
    type,
    bootstrap: typeof bootstrap === 'object' ? '-' : bootstrap,
    'blob-dir': options.blobDir ?? (streamed ? tmpdir() : undefined),
    blob: streamed ? undefined : typeof blob === 'object' ? '-' : blob,
    'external-blob': options.externalBlob,
    'blob-inline-meta': options.inlineBootstrap ?? false,
    'blob-id': options.blobId,
    'blob-data-size': blobDataSize === undefined ? undefined : blobDataSize.toString(16),
    'blob-offset': String(options.blobOffset ?? 0),
    'chunk-size': chunkSize === undefined ? undefined : String(chunkSize),
    'batch-size': String(options.batchSize ?? 0),
    compressor,
    digester,
    config: undefined,
    'fs-version': `${fsVersion}`,
    features: options.toc ? 'blob-toc' : undefined,
    'chunk-dict': options.chunkDict,
    'parent-bootstrap': options.parent,
    'aligned-chunk': options.alignedChunks ?? false,
    repeatable: !(options.owners ?? true),
    'whiteout-spec': whiteouts,
    'prefetch-policy': policy,
    'output-json': undefined,
    encrypt: options.encrypt ?? false,
    'blob-cache-dir': options.blobCacheDir,
    attributes: undefined,
  };
};

const explicitOf = ({ compressor, digester }: CreateImageOptions): Set<string> =>
  new Set([
    ...(compressor === undefined ? [] : ['compressor']),
    ...(digester === undefined ? [] : ['digester']),
  ]);

const patternsOf = (
  prefetch: LayerBase['prefetch'],
  warn: (message: string) => void,
): readonly string[] => {
  if (!prefetch) return [];
  const { patterns, warnings } = parsePrefetchPatterns(Buffer.from(prefetch.paths.join('\n')));
  for (const warning of warnings) warn(warning);
  return patterns;
};

/** Programs without types may give anything. */
const oneOf = <T>(name: string, value: T, allowed: readonly T[]): void => {
  if (allowed.includes(value)) return;
  const list = allowed.map(one => `'${String(one)}'`).join(', ');
  throw new RafsError('USAGE', `invalid ${name} '${String(value)}', expected one of ${list}`);
};
