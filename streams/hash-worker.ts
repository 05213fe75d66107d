/** The thread behind hash-pool: sha256 of slabs, in one run or piece by piece. */
import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { hashChunks } from '../lib/chunk-hashes.js';
import { blockDigests } from '../lib/verity.js';
import type { HashAnswer, HashJob } from './hash-pool.js';

const port = parentPort!; // this file is only ever run as a worker
const running = createHash('sha256');

port.on('message', ({ slab, size, blockSize, chunkSizes }: HashJob) => {
  if (slab === undefined) {
    port.postMessage({ digests: new Uint8Array(running.digest()) } satisfies HashAnswer);
    return;
  }
  const bytes = Buffer.from(slab, 0, size);
  let digests: HashAnswer['digests'];
  if (chunkSizes !== undefined) digests = hashChunks(bytes, chunkSizes);
  else if (blockSize !== undefined) digests = blockDigests(bytes, blockSize);
  else running.update(bytes);
  const handedOver = digests ? [slab, digests.buffer] : [slab];
  port.postMessage({ slab, digests } satisfies HashAnswer, handedOver);
});
