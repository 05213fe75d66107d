/** The thread behind compressor-pool: knows a codec and nothing of parts. */
import { parentPort, workerData } from 'node:worker_threads';
import { compressInto, prepareCompressors, type Compressor } from '../lib/compress.js';
import type { Job, Slab } from './compressor-pool.js';

const port = parentPort!; // this file is only ever run as a worker
const algorithm = workerData as Compressor; // what compressor-pool gives
await prepareCompressors();

const slabs = new Map<number, { from: Buffer; to: Buffer }>();

const open = ({ plain, packed }: Slab) => ({ from: Buffer.from(plain), to: Buffer.from(packed) });

port.on('message', ({ id, slab, sizes }: Job) => {
  if (slab) slabs.set(id, open(slab));
  const { from, to } = slabs.get(id)!; // the pool sends it before it names it
  let fromAt = 0;
  let toAt = 0;
  const stored = sizes.map(size => {
    const storedSize = compressInto(algorithm, from.subarray(fromAt, fromAt + size), to, toAt);
    fromAt += size;
    toAt += storedSize;
    return storedSize;
  });
  port.postMessage(stored);
});
