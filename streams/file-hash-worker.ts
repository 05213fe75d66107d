/**
 * The thread behind file-hash: reads an open file from its start, and makes its sha256. While it
 * hashes, a thread of the pool reads what comes next.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { promisify } from 'node:util';
import { parentPort, workerData } from 'node:worker_threads';
import type { FileHashAnswer, FileHashJob } from './file-hash.js';

const port = parentPort!; // this file is only ever run as a worker
const { fd, size } = workerData as FileHashJob; // what file-hash gives

const BUFFER_SIZE = 0x80000;
const buffers = [Buffer.allocUnsafeSlow(BUFFER_SIZE), Buffer.allocUnsafeSlow(BUFFER_SIZE)] as const;
const readFile = promisify(fs.read);

const hash = createHash('sha256');
let at = 0; // bytes hashed
let code: string | undefined;

/** The bytes at a position, in a buffer that the read two after this takes again. */
const read = async (position: number): Promise<Buffer> => {
  const buffer = buffers[(position / BUFFER_SIZE) % 2]!;
  let have = 0;
  const due = Math.min(BUFFER_SIZE, size - position);
  while (have < due) {
    const { bytesRead } = await readFile(fd, buffer, have, due - have, position + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  return buffer.subarray(0, have);
};

try {
  let next = read(0);
  while (at < size) {
    const bytes = await next;
    const end = at + bytes.length;
    const isLast = bytes.length < BUFFER_SIZE || end === size;
    if (!isLast) next = read(end);
    hash.update(bytes);
    at = end;
    if (isLast) break;
  }
} catch (error) {
  code = (error as NodeJS.ErrnoException).code ?? String(error);
}
port.postMessage({ digest: hash.digest('hex'), size: at, code } satisfies FileHashAnswer);
