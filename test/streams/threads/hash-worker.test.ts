import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';

const WORKER = new URL('../../../streams/threads/hash-worker.js', import.meta.url);
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

t.test('a slab in one run, in chunks and in blocks; then all that ran', async t => {
  const worker = new Worker(WORKER);
  t.teardown(() => worker.terminate());
  const ask = async (job: unknown): Promise<{ digests?: Uint8Array }> => {
    worker.postMessage(job);
    const [answer] = (await once(worker, 'message')) as [{ digests?: Uint8Array }];
    return answer;
  };
  const slab = new SharedArrayBuffer(8192);
  const bytes = Buffer.from(slab);
  bytes.set(randomBytes(8192));
  t.equal((await ask({ id: 1, slab, size: 8192 })).digests, undefined);
  const { digests: chunks } = await ask({ id: 1, size: 8192, chunkSizes: [100, 8092] });
  const due = [sha256(bytes.subarray(0, 100)), sha256(bytes.subarray(100))];
  for (const digest of due) t.ok(Buffer.from(chunks!).includes(digest), 'beside their CRCs');
  const { digests: blocks } = await ask({ id: 1, size: 8192, blockSize: 4096 });
  const halves = [sha256(bytes.subarray(0, 4096)), sha256(bytes.subarray(4096))];
  t.ok(Buffer.from(blocks!).equals(Buffer.concat(halves)));
  await ask({ id: 1, size: 10 });
  const { digests: all } = await ask({ size: 0 });
  t.ok(Buffer.from(all!).equals(sha256(Buffer.concat([bytes, bytes.subarray(0, 10)]))));
});
