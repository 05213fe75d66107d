/** The thread behind file-hash: reads an open file from its start, and makes its sha256. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { FileHashAnswer, FileHashJob } from './file-hash.js';

const port = parentPort!; // this file is only ever run as a worker
const { fd, size } = workerData as FileHashJob; // what file-hash gives

const hash = createHash('sha256');
const buffer = Buffer.allocUnsafeSlow(0x40000); // fits into a core's cache
let at = 0;
let code: string | undefined;
try {
  while (at < size) {
    const count = fs.readSync(fd, buffer, 0, Math.min(buffer.length, size - at), at);
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    at += count;
  }
} catch (error) {
  code = (error as NodeJS.ErrnoException).code ?? String(error);
}
port.postMessage({ digest: hash.digest('hex'), size: at, code } satisfies FileHashAnswer);
