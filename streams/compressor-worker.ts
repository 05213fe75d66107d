/** The thread behind compressor-pool: knows a codec and nothing of parts. */
import { parentPort, workerData } from 'node:worker_threads';
import { compressRun, prepareCompressors, type Compressor } from '../lib/compress.js';
import type { Job, Slab } from './compressor-pool.js';

const port = parentPort!; // this file is only ever run as a worker
const algorithm = workerData as Compressor; // what compressor-pool gives
await prepareCompressors();

const slabs = new Map<number, Slab>();

port.on('message', ({ id, slab, sizes }: Job) => {
  if (slab) slabs.set(id, slab);
  // the pool sends a slab before it names it
  port.postMessage(compressRun(algorithm, slabs.get(id)!, sizes));
});
