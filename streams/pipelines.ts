/**
 * Every pipeline, spelled out. Composed with `chain`, run with `pipeline`: chain alone would leave
 * a failed source open.
 *
 *     native   source → (gunzip | unzstd) → tar-demux → chunker → digester → compressor
 *                     → blob-writer → bootstrap-finalizer → artifact-writer
 *              dir-walk → chunker → … the same
 */
import type { Duplex, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import chain from 'stream-chain';
import type { Compression } from '../lib/compression.js';
import type { Digester } from '../lib/digest.js';
import { blobWriter, type BlobWriterOptions } from './blob-writer.js';
import { bootstrapFinalizer, type FinalizerOptions } from './bootstrap-finalizer.js';
import { chunker } from './chunker.js';
import { compressor } from './compressor.js';
import { digester } from './digester.js';
import { gunzip } from './gunzip.js';
import { tarDemux } from './tar-demux.js';
import { unzstd } from './unzstd.js';

export type NativeOptions = BlobWriterOptions &
  FinalizerOptions & {
    digester: Digester;
    /** threads that compress */
    workers?: number | undefined;
    /** counts what passes, for progress */
    meter?: Duplex;
  };

/** Stages that undo the compression of a source, which its first bytes tell. */
const EXPAND: Readonly<Record<Compression, () => Duplex[]>> = {
  none: () => [],
  gzip: () => [gunzip()],
  zstd: () => [unzstd()],
};

/** A tar, compressed or not, to a Native blob and bootstrap. */
export const nativeFromTar = async (
  options: NativeOptions & { compression: Compression },
): Promise<Duplex> =>
  compose([...EXPAND[options.compression](), tarDemux(), ...(await native(options))]);

/** The entries of a directory to a Native blob and bootstrap. */
export const nativeFromDirectory = async (options: NativeOptions): Promise<Duplex> =>
  compose(await native(options));

const native = async (options: NativeOptions): Promise<Duplex[]> => [
  ...(options.meter ? [options.meter] : []),
  chunker(options),
  await digester({ algorithm: options.digester }),
  await compressor({
    compressor: options.compressor,
    chunkSize: options.chunkSize,
    ...(options.workers === undefined ? {} : { workers: options.workers }),
  }),
  blobWriter(options),
  bootstrapFinalizer(options),
];

const compose = (stages: readonly Duplex[]): Duplex =>
  chain([...stages], { objectMode: true, highWaterMark: 2 }) as Duplex;

/** Runs a pipeline to its end; on failure or abort every stream in it is destroyed. */
export const run = (
  source: Readable,
  stages: Duplex,
  sink: Writable,
  signal?: AbortSignal,
): Promise<void> => pipeline(source, stages, sink, signal ? { signal } : {});
