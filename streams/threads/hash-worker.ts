/** The thread behind hash-pool: sha256 of slabs, in one run or piece by piece. */
import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { hashChunks } from '../../lib/chunk/chunk-hashes.js';
import { blockDigests } from '../../lib/device/verity.js';
import type { HashAnswer, HashJob } from './hash-pool.js';

const port = parentPort!; // this file is only ever run as a worker
const running = createHash('sha256');

const slabs = new Map<number, SharedArrayBuffer>();

port.on('message', ({ id, slab, size, blockSize, chunkSizes }: HashJob) => {
  if (id === undefined) {
    port.postMessage({ digests: new Uint8Array(running.digest()) } satisfies HashAnswer);
    return;
  }
  if (slab) slabs.set(id, slab);
  const bytes = Buffer.from(slabs.get(id)!, 0, size); // the pool has sent it before
  let digests: HashAnswer['digests'];
  if (chunkSizes !== undefined) digests = hashChunks(bytes, chunkSizes);
  else if (blockSize !== undefined) digests = blockDigests(bytes, blockSize);
  else running.update(bytes);
  port.postMessage({ digests } satisfies HashAnswer, digests ? [digests.buffer] : []);
});
