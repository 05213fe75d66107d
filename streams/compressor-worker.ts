/** The thread behind compressor-pool: knows a codec and nothing of parts. */
import { parentPort, workerData } from 'node:worker_threads';
import { compressInto, prepareCompressors, type Compressor } from '../lib/compress.js';
import type { Job } from './compressor-pool.js';

const port = parentPort!; // this file is only ever run as a worker
const algorithm = workerData as Compressor; // what compressor-pool gives
await prepareCompressors();

port.on('message', ({ plain, packed, sizes }: Job) => {
  const from = Buffer.from(plain);
  const to = Buffer.from(packed);
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
