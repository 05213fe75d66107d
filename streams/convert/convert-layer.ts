/** Converts one layer, in one pass from the source into the target. */
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import type { Duplex } from 'node:stream';
import { newSecret } from '../../lib/crypto/aes-xts.js';
import { sha256 } from '../../lib/crypto/digest.js';
import { located, RafsError } from '../../lib/errors.js';
import type { ChunkDict } from '../../lib/image/chunk-dict.js';
import { BLOCK_SIZE } from '../../lib/layout/tar.js';
import { parseDigest, type Descriptor } from '../../lib/oci/descriptor.js';
import { meter } from '../build/meter.js';
import type { Compression } from '../layer/decompress.js';
import { nativeFromTar, referenceFromTar, run, tarfsFromTar } from '../pipelines.js';
import type { ImageSource } from '../transport/source.js';
import type { ImageTarget } from '../transport/target.js';
import { BlobUnreadError, LayerSink } from './layer-sink.js';
import { openLayerSource } from '../transport/layer-source.js';
import type { ConversionSettings } from './settings.js';

/** A layer in its new form, with what the image's bootstrap is made from. */
export interface ConvertedLayer {
  source: Descriptor;
  blob: { digest: string; size: number };
  /** the layer's own bootstrap */
  bootstrap: Buffer;
  /** its chunk table as nydusd caches it; none for a layer without one */
  meta: readonly Buffer[];
  /** sha256 of the entries of the blob's table of contents, if the image refers to the layer */
  tocDigest?: Buffer;
  /** it was there already */
  reused?: boolean;
}

/** How far a layer has come. */
export interface LayerCounters {
  bytesIn: number;
  bytesOut: number;
  files: number;
}

export interface LayerJob {
  source: ImageSource;
  /** takes the blob */
  target: Pick<ImageTarget, 'put'>;
  layer: Descriptor;
  /** digest of the tar, from the config */
  diffId: string;
  settings: ConversionSettings;
  dict?: ChunkDict | undefined;
  workers?: number | undefined;
  counters?: LayerCounters;
  signal: AbortSignal;
  /** is told what of the layer is left out or changed */
  warn?: (message: string) => void;
}

export const convertLayer = async (job: LayerJob): Promise<ConvertedLayer> => {
  const { source, target, layer, diffId, settings, signal } = job;
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const input = await openLayerSource(source, layer, either);
  const sink = new LayerSink();
  const counters = job.counters ?? { bytesIn: 0, bytesOut: 0, files: 0 };
  const due = parseDigest(diffId);
  // the digest of a plain tar is its diff id
  const hash =
    input.compression === 'none' && layer.digest === diffId ? undefined : createHash(due.algorithm);
  const witness = (bytes: Buffer): void => {
    counters.bytesIn = input.bytesRead;
    counters.bytesOut = sink.blobSize;
    hash?.update(bytes);
  };
  let stages: Duplex;
  try {
    stages = await stagesFor(job, input.compression, { witness, counters });
  } catch (error) {
    input.stream.destroy();
    throw located(error, { layer: layer.digest });
  }
  const build = run(input.stream, stages, sink, either).then(() => {
    const found = hash?.digest('hex') ?? due.hex;
    if (found === due.hex) return;
    throw new RafsError(
      'MISMATCH',
      `expected the tar of a layer to have digest ${due.hex}, got ${found}`,
      {
        layer: layer.digest,
      },
    );
  });
  const expected = settings.mode === 'tarfs' ? { digest: diffId } : {};
  const secret = settings.build.encrypt; // the blob ends with its bootstrap
  const put = target.put(sink.blob(), { ...expected, signal: either, secret });
  const blob = await bothOf(build, put, failed).catch((error: unknown) => {
    throw located(error, { layer: layer.digest });
  });
  counters.bytesIn = input.bytesRead;
  counters.bytesOut = sink.blobSize;
  return {
    source: layer,
    blob,
    bootstrap: Buffer.concat(sink.bootstrap.splice(0)),
    meta: sink.meta,
    ...(settings.mode === 'zran' && sink.last
      ? { tocDigest: sha256(sink.last.subarray(0, sink.last.length - BLOCK_SIZE)) }
      : {}),
  };
};

/**
 * Waits for a build and for the target that stores what it makes. The first failure of either stops
 * both, and is the one that is told.
 */
export const bothOf = async <T>(
  build: Promise<unknown>,
  put: Promise<T>,
  failed: AbortController,
): Promise<T> => {
  const stopping = (error: unknown): never => {
    // the target has failed, and tells it when it has cleaned up
    if (!(error instanceof BlobUnreadError)) failed.abort(error);
    throw error;
  };
  const [made, stored] = await Promise.allSettled([build.catch(stopping), put.catch(stopping)]);
  if (made.status === 'fulfilled' && stored.status === 'fulfilled') return stored.value;
  throw failed.signal.aborted ? failed.signal.reason : (made as PromiseRejectedResult).reason;
};

/** Options of the stages of a layer, whatever its entries come from. */
export const stageOptions = (
  { settings, dict, workers }: Pick<LayerJob, 'settings' | 'dict' | 'workers'>,
  counters: LayerCounters,
) => {
  const { build, prefetch } = settings;
  const { encrypt } = build;
  return {
    ...build,
    ...build.features,
    meter: meter(counters),
    copies: true,
    encrypted: encrypt,
    secret: encrypt ? newSecret() : undefined,
    prefetch: build.prefetchPolicy === 'fs' ? prefetch : [],
    directory: tmpdir(),
    dict,
    ...(workers === undefined ? {} : { workers }),
  };
};

/** The layer's digest as the name of a blob: it is checked while the layer is read. */
const knownDigest = ({ digest }: Descriptor): { digest?: string } => {
  const { algorithm, hex } = parseDigest(digest);
  return algorithm === 'sha256' ? { digest: hex } : {};
};

const stagesFor = async (
  job: LayerJob,
  compression: Compression,
  { witness, counters }: { witness: (bytes: Buffer) => void; counters: LayerCounters },
): Promise<Duplex> => {
  const { warn = () => undefined } = job;
  const options = { ...stageOptions(job, counters), compression, witness, warn };
  switch (job.settings.mode) {
    case 'native':
      return nativeFromTar(options);
    case 'zran':
      return referenceFromTar({ ...options, ...knownDigest(job.layer) });
    case 'tarfs':
      return tarfsFromTar({ ...options, kept: true, blobId: parseDigest(job.diffId).hex });
  }
};
