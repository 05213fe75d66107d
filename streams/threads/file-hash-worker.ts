/**
 * The thread behind file-hash: reads an open file from its start, and computes its sha256. The
 * buffer is small enough to be in the processor's cache when it is hashed, and again when it is
 * overwritten: with a buffer twice as large, reading takes four times as long.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { FileHashAnswer, FileHashJob } from './file-hash.js';

const port = parentPort!; // this file is only ever run as a worker

const BUFFER_SIZE = 0x20000;

const hashOf = ({ fd, size }: FileHashJob): FileHashAnswer => {
  const buffer = Buffer.allocUnsafeSlow(BUFFER_SIZE);
  const hash = createHash('sha256');
  let at = 0;
  let code: string | undefined;
  try {
    while (at < size) {
      const count = fs.readSync(fd, buffer, 0, Math.min(BUFFER_SIZE, size - at), at);
      if (count === 0) break;
      hash.update(buffer.subarray(0, count));
      at += count;
    }
  } catch (error) {
    code = (error as NodeJS.ErrnoException).code ?? String(error);
  }
  return { digest: hash.digest('hex'), size: at, code };
};

// one file per thread
port.once('message', (job: FileHashJob) => port.postMessage(hashOf(job)));
