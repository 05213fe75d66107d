/** What the functions have in common that make an image out of another one. */
import { shown } from '../../lib/model/names.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import type { RafsVersion } from '../../lib/model/version.js';
import { openOutputTo } from '../io/open-output.js';
import type { Output } from '../io/output.js';
import {
  newCounters,
  reporting,
  withSignal,
  type Progress,
  type RunOptions,
} from '../image/run-options.js';
import type { Writable } from 'node:stream';

/** What {@link compactImage} and {@link optimizeImage} have made. */
export interface RewrittenImage {
  /** ids of all blobs of the new image, by blob index */
  blobs: readonly string[];
  /** of these, the ids of those that are new */
  newBlobs: readonly string[];
  fsVersion: RafsVersion;
  compressor: Compressor;
}

/** The result that says what a rewriting has made. */
export const rewritten = (
  { version: fsVersion, compressor }: Bootstrap,
  blobs: readonly BlobInfo[],
  made: readonly BlobInfo[],
): RewrittenImage => ({
  blobs: blobs.map(({ id }) => shown(id)),
  newBlobs: made.map(({ id }) => shown(id)),
  fsVersion,
  compressor,
});

/** Rewrites into an output, which is given up if that fails or if there was nothing to do. */
export const rewriteTo = async <T>(
  target: string | Writable,
  { signal, fsync, onProgress }: RunOptions,
  work: (output: Output, counters: Progress & { bytesIn: number }) => Promise<T>,
): Promise<T> => {
  signal?.throwIfAborted();
  const output = await openOutputTo(target, { ...withSignal(signal), fsync });
  const counters = newCounters();
  try {
    return await reporting(onProgress, counters, () => work(output, counters));
  } finally {
    await output.abandon(); // does nothing once finished
  }
};
