/** The thread behind compressor-pool: knows a codec and nothing of parts. */
import { parentPort, workerData } from 'node:worker_threads';
import { compress, prepareCompressors, type Compressor } from '../lib/compress.js';
import type { Answer, Job } from './compressor-pool.js';

const port = parentPort!; // this file is only ever run as a worker
const algorithm = workerData as Compressor; // what compressor-pool gives
await prepareCompressors();

port.on('message', ({ slab, sizes }: Job) => {
  const plain = Buffer.from(slab);
  const stored: number[] = [];
  const packed: Buffer[] = [];
  let at = 0;
  let total = 0;
  for (const size of sizes) {
    const bytes = compress(algorithm, plain.subarray(at, at + size));
    at += size;
    stored.push(bytes?.length ?? 0);
    if (!bytes) continue;
    packed.push(bytes);
    total += bytes.length;
  }
  const joined = new ArrayBuffer(total);
  const target = Buffer.from(joined);
  let to = 0;
  for (const bytes of packed) {
    target.set(bytes, to);
    to += bytes.length;
  }
  port.postMessage({ sizes: stored, bytes: joined } satisfies Answer, [joined]);
});
