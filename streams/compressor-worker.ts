/** The thread behind compressor-pool: knows codecs and digests and nothing of parts. */
import { parentPort, workerData } from 'node:worker_threads';
import { prepareCompressors } from '../lib/compress.js';
import { prepareDigests } from '../lib/digest.js';
import { DigestFilter } from '../lib/digest-filter.js';
import { packRun, type PackOptions } from '../lib/pack-run.js';
import type { Job, Slab, Task } from './compressor-pool.js';

const port = parentPort!; // this file is only ever run as a worker
const { compressor, hashing } = workerData as Task; // what compressor-pool gives
const options: PackOptions = hashing
  ? { compressor, hashing: { ...hashing, seen: new DigestFilter(hashing.seen) } }
  : { compressor };
await prepareCompressors();
if (hashing) await prepareDigests();

const slabs = new Map<number, Slab>();

port.on('message', ({ id, slab, sizes }: Job) => {
  if (slab) slabs.set(id, slab);
  // the pool sends a slab before it names it
  port.postMessage(packRun(slabs.get(id)!, sizes, options));
});
