import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { temporaryDirectory } from '../../support/process/fs.js';

const WORKER = new URL('../../../streams/threads/file-hash-worker.js', import.meta.url);

const answerTo = async (job: unknown): Promise<unknown> => {
  const worker = new Worker(WORKER);
  worker.postMessage(job);
  const [answer] = (await once(worker, 'message')) as [unknown];
  await worker.terminate();
  return answer;
};

t.test('the sha256 of as much of a file as is asked for and is there', async t => {
  const file = path.join(temporaryDirectory(t), 'file');
  const bytes = randomBytes(0x50001);
  fs.writeFileSync(file, bytes);
  const fd = fs.openSync(file, 'r');
  t.teardown(() => fs.closeSync(fd));
  for (const size of [0, 1, 0x20000, bytes.length, bytes.length + 9]) {
    const due = bytes.subarray(0, size);
    const digest = createHash('sha256').update(due).digest('hex');
    t.match(await answerTo({ fd, size }), { digest, size: due.length, code: undefined });
  }
});

t.test('a file that cannot be read has a code', async t => {
  const fd = fs.openSync(temporaryDirectory(t), 'r');
  t.teardown(() => fs.closeSync(fd));
  t.match(await answerTo({ fd, size: 10 }), { code: 'EISDIR' });
});
