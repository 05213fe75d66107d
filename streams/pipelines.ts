/**
 * All pipelines, spelled out. They are composed with `chain` and run with `pipeline`: chain alone
 * would leave the source open after a failure.
 *
 *     native   source → (decompress) → tar-demux → chunker → (digester) → (batcher)
 *                     → compressor → blob-writer → bootstrap-finalizer → artifact-writer
 *              dir-walk → chunker → … the same
 *     tarfs    source → (decompress) → tarfs-hasher → tar-demux → tarfs-mapper
 *                     → bootstrap-finalizer → artifact-writer
 *              tar-scan → tarfs-mapper → … the same
 *     zran     source → zran-demux → hash-joiner → digester → reference-writer
 *                     → bootstrap-finalizer → artifact-writer
 *              source → tarfs-hasher → tar-demux → chunker → digester → … the same, for a plain tar
 *              source → stargz-toc → bootstrap-finalizer → artifact-writer, for an eStargz TOC
 */
import { BlobFile } from '../lib/blob/blob-file.js';
import type { Duplex, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import chain from 'stream-chain';
import { BufferPool, BufferFlow } from '../lib/memory/buffer-pool.js';
import { ChunkDeduper, type ChunkDeduperOptions } from '../lib/image/chunk-deduper.js';
import { LEAST_SEALED_BATCH } from '../lib/crypto/aes-xts.js';
import type { Digester } from '../lib/crypto/digest.js';
import { RafsError } from '../lib/errors.js';
import type { LayerPart, SectionPart } from '../lib/model/parts.js';
import { chunkBatcher } from './build/chunk-batcher.js';
import { blobWriter, type BlobWriterOptions } from './build/blob-writer.js';
import { bootstrapFinalizer, type FinalizerOptions } from './build/bootstrap-finalizer.js';
import { chunker } from './build/chunker.js';
import { compressor, slabSizeOf } from './build/compressor.js';
import type { DirWalk } from './layer/dir-walk.js';
import { digester } from './build/digester.js';
import { decompress, type Compression } from './layer/decompress.js';
import { holeFiller } from './layer/hole-filler.js';
import { observer, type Witness } from './layer/observer.js';
import { hashJoiner } from './reference/hash-joiner.js';
import { referenceWriter, type ReferenceWriterOptions } from './reference/reference-writer.js';
import type { Source } from './io/source.js';
import { stargzToc, type StargzTocOptions } from './reference/stargz-toc.js';
import { tarDemux } from './layer/tar-demux.js';
import { tarfsHasher } from './reference/tarfs-hasher.js';
import { tarfsMapper } from './reference/tarfs-mapper.js';
import { zranDemux } from './reference/zran-demux.js';

/** Who is told, in one sentence for each, what of a layer is left out or changed. */
interface Warning {
  warn?: (message: string) => void;
}

export type NativeOptions = BlobWriterOptions &
  FinalizerOptions &
  Warning & {
    digester: Digester;
    /** chunks of small files are stored in batches of fewer bytes than this; 0: no batches */
    batchSize?: number;
    /** number of threads that compress */
    workers?: number | undefined;
    /** source of the bytes of a tar; is told to take its buffers from a pool if that is of use */
    input?: Pick<Source, 'usePool'>;
    /** is shown the bytes of the tar, decompressed, as they pass */
    witness?: Witness;
    /** writer of the blob; is given the pool of stored bytes, to report which have been written */
    sink?: { written: BufferPool | undefined };
    /** counts what passes, for progress */
    meter?: Duplex;
  };

/** Bytes of a piece of a decompressed source. */
const PIECE_SIZE = 0x80000;

/** Turns a tar, compressed or not, into a Native blob and bootstrap. */
export const nativeFromTar = async (
  options: NativeOptions & { compression: Compression },
): Promise<Duplex> => {
  const { compression, input } = options;
  if (!recycles(options)) {
    return compose([
      ...decompress(compression),
      ...witnessOf(options),
      tarDemux(warnOf(options)),
      ...(await native(options)),
    ]);
  }
  const reads = input?.usePool();
  const pieces = compression === 'none' ? reads : new BufferPool(PIECE_SIZE);
  return compose([
    ...decompress(compression, { reads, pieces }),
    ...witnessOf(options),
    tarDemux(warnOf(options)),
    ...(await native(options, pieces && [pieces])),
  ]);
};

const warnOf = ({ warn }: Warning): Warning => (warn ? { warn } : {});

const witnessOf = ({ witness }: { witness?: Witness }): Duplex[] =>
  witness ? [observer(witness)] : [];

/** Turns the entries of a directory into a Native blob and bootstrap. */
export const nativeFromDirectory = async ({
  walk,
  ...options
}: NativeOptions & {
  /** source of the entries; is told to take its buffers from pools if that is of use */
  walk?: Pick<DirWalk, 'usePools'>;
}): Promise<Duplex> =>
  compose(await native(options, recycles(options) ? walk?.usePools() : undefined));

/**
 * Whether the compressor copies the bytes of chunks for its threads and reports its progress, so
 * that their memory can be reused. Not if a cache still needs the bytes of chunks in a batch.
 */
const recycles = ({
  batchSize = 0,
  cache = false,
  workers,
}: Omit<NativeOptions, 'input'>): boolean => workers !== 0 && !(batchSize > 0 && cache);

/** @param pieces pools that the bytes of chunks come from, each in stream order */
const native = async (
  options: Omit<NativeOptions, 'input'>,
  pieces: readonly BufferPool[] = [],
): Promise<Duplex[]> => {
  const { chunkSize, workers, sink, batchSize = 0, cache = false } = options;
  const threads = workers !== 0;
  const batches = recycles(options) && batchSize > 0 ? new BufferPool(batchSize) : undefined;
  const pools = [...pieces, ...(batches ? [batches] : [])];
  const flow = pools.length > 0 ? new BufferFlow(pools, chunkSize) : undefined;
  const stored = threads && !cache && sink ? new BufferPool(slabSizeOf(chunkSize)) : undefined;
  if (sink) sink.written = stored;
  const file = new BlobFile();
  const namedInThreads = threads && batchSize === 0;
  return [
    ...(options.meter ? [options.meter] : []),
    chunker({ chunkSize, flow }),
    ...(namedInThreads ? [] : [await digester(namesOf(options)), ...batching(options, batches)]),
    await compressor({
      compressor: options.compressor,
      chunkSize,
      ...(workers === undefined ? {} : { workers }),
      ...(namedInThreads ? { names: new ChunkDeduper(namesOf(options)) } : {}),
      flow,
      stored,
    }),
    blobWriter({ ...options, file, batched: batchSize > 0 }),
    bootstrapFinalizer({ ...options, file }),
  ];
};

const namesOf = (options: Omit<NativeOptions, 'input'>): ChunkDeduperOptions => ({
  ...options,
  algorithm: options.digester,
});

/** @param pool for batches, if the compressor reports its progress */
const batching = (
  { batchSize = 0, secret, cache = false }: NativeOptions,
  pool: BufferPool | undefined,
): Duplex[] => {
  if (batchSize === 0) return [];
  const leastBatch = secret ? LEAST_SEALED_BATCH : 0;
  // chunks keep their bytes for the cache, or so that the compressor can report that they came
  return [chunkBatcher({ batchSize, leastBatch, keepBytes: cache || pool !== undefined, pool })];
};

/** Shows the bytes of a tar, decompressed, to a witness, and passes them on. */
export const plainTar = (options: { compression: Compression; witness: Witness }): Duplex =>
  compose([...decompress(options.compression), observer(options.witness)]);

/** The entries of a tar, compressed or not, with the content of its files. */
export const entriesFromTar = (
  options: { compression: Compression; witness?: Witness } & Warning,
): Duplex =>
  compose([
    ...decompress(options.compression),
    ...witnessOf(options),
    tarDemux(warnOf(options)),
    holeFiller(),
  ]);

export type TarfsOptions = FinalizerOptions &
  Warning & {
    /** is shown the bytes of the tar, decompressed, as they pass */
    witness?: Witness;
    /** instead of the sha256 of the tar, which is then not computed */
    blobId?: string | undefined;
    /** write the tar as the blob; default: if it was compressed */
    kept?: boolean;
    /** counts what passes, for progress */
    meter?: Duplex;
  };

/** Turns a tar, compressed or not, into a bootstrap; the decompressed tar is its blob. */
export const tarfsFromTar = (options: TarfsOptions & { compression: Compression }): Duplex =>
  compose([
    ...decompress(options.compression),
    ...witnessOf(options),
    tarfsHasher({
      hashed: options.blobId === undefined,
      kept: options.kept ?? options.compression !== 'none',
    }),
    tarDemux<SectionPart | LayerPart>({ contents: false, ...warnOf(options) }),
    ...tarfs(options),
  ]);

/** Turns the entries of a scanned tar into a bootstrap; the tar is its blob. */
export const tarfsFromScan = (options: TarfsOptions): Duplex => compose(tarfs(options));

const tarfs = (options: TarfsOptions): Duplex[] => [
  ...(options.meter ? [options.meter] : []),
  tarfsMapper(options),
  bootstrapFinalizer({ ...options, tarfs: true }),
];

export type ReferenceOptions = Omit<ReferenceWriterOptions, 'zran'> &
  FinalizerOptions &
  Pick<NativeOptions, 'lower' | 'dict' | 'input' | 'meter' | 'witness' | 'workers' | 'warn'> & {
    /** sha256 of the layer in hex, for whoever checks it anyway */
    digest?: string | undefined;
  };

/**
 * Turns a tar, gzipped or not, into a bootstrap that refers to it, and a blob with the tables for
 * that. UNSUPPORTED for other compressions: docs/zran-zstd.md says why.
 */
export const referenceFromTar = async (
  options: ReferenceOptions & { compression: Compression },
): Promise<Duplex> => {
  const { zran, chunks } = referencedChunks(options);
  const file = new BlobFile();
  return compose([
    ...chunks,
    ...(options.meter ? [options.meter] : []),
    await digester({ ...options, algorithm: options.digester }),
    await referenceWriter({ ...options, file, zran }),
    bootstrapFinalizer({ ...options, file }),
  ]);
};

/** Stages that find the chunks of a layer which stays as it is. */
const referencedChunks = (
  options: ReferenceOptions & { compression: Compression },
): { zran: boolean; chunks: Duplex[] } => {
  const { compression, cache = false, input } = options;
  switch (compression) {
    case 'gzip':
      return {
        zran: true,
        chunks: [zranDemux({ ...options, kept: cache, reads: input?.usePool() }), hashJoiner()],
      };
    case 'none':
      return {
        zran: false,
        chunks: [
          ...witnessOf(options),
          tarfsHasher({ hashed: true, digest: options.digest, kept: false }),
          tarDemux<LayerPart>(warnOf(options)),
          chunker(options), // if a file lies in the tar in one run, its chunks do
        ],
      };
    default:
      throw new RafsError(
        'UNSUPPORTED',
        `a layer compressed with ${compression} cannot be referred to: ` +
          `the format knows where to start in a gzip, and not in ${compression}`,
      );
  }
};

export type StargzPipelineOptions = FinalizerOptions & StargzTocOptions & { meter?: Duplex };

/** Turns the table of contents of an eStargz layer into a bootstrap that refers to the layer. */
export const referenceFromStargzToc = async (options: StargzPipelineOptions): Promise<Duplex> =>
  compose([
    await stargzToc({ ...options, lowerCount: options.lower?.chunks.count ?? 0 }),
    ...(options.meter ? [options.meter] : []),
    bootstrapFinalizer(options),
  ]);

const compose = (stages: readonly Duplex[]): Duplex =>
  chain([...stages], { objectMode: true, highWaterMark: 1 }) as Duplex;

/** Runs a pipeline to its end; on failure or abort every stream in it is destroyed. */
export const run = (
  source: Readable,
  stages: Duplex,
  sink: Writable,
  signal?: AbortSignal,
): Promise<void> => pipeline(source, stages, sink, signal ? { signal } : {});
