/** The thread behind compressor-pool: knows codecs and digests, and nothing about parts. */
import { parentPort } from 'node:worker_threads';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { DigestFilter } from '../../lib/chunk/digest-filter.js';
import { compressRun, type CompressRunOptions } from '../../lib/chunk/compress-run.js';
import type { Job, Slab, Task } from './compressor-pool.js';

const port = parentPort!; // this file is only ever run as a worker
await prepareCompressors();
await prepareDigests();

const slabs = new Map<number, Slab>();
let options: CompressRunOptions;
let done: Int32Array;

port.on('message', (message: Task | Job) => {
  if ('compressor' in message) {
    options = optionsOf(message);
    done = new Int32Array(message.done);
    return;
  }
  const { id, slab, sizes } = message;
  if (slab) slabs.set(id, slab);
  // the pool sends a slab before it first refers to it by id
  const packed = compressRun(slabs.get(id)!, sizes, options);
  Atomics.add(done, 0, 1);
  port.postMessage(packed);
});

const optionsOf = ({ compressor, hashing }: Task): CompressRunOptions => {
  if (!hashing) return { compressor };
  return { compressor, hashing: { ...hashing, seen: new DigestFilter(hashing.seen) } };
};
