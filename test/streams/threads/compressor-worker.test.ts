import { Worker } from 'node:worker_threads';
import t from 'tap';
import { compress, prepareCompressors } from '../../../lib/compress/compressors.js';
import type { CompressedRun } from '../../../lib/chunk/compress-run.js';
import type { Job, Task } from '../../../streams/threads/compressor-pool.js';
import { wordyBytes } from '../../support/random.js';

await prepareCompressors();

t.test('answers each job in its order, counts them, and leaves the slab as it is', async t => {
  const worker = new Worker(
    new URL('../../../streams/threads/compressor-worker.js', import.meta.url),
  );
  const count = new Int32Array(new SharedArrayBuffer(4));
  worker.postMessage({ compressor: 'zstd', done: count.buffer } satisfies Task);
  t.teardown(() => worker.terminate());
  const answers: (readonly number[])[] = [];
  const done = new Promise<void>((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', ({ stored }: CompressedRun) => {
      answers.push(stored);
      if (answers.length === 3) resolve();
    });
  });
  const jobs = [1, 2, 3].map(id => {
    const bytes = wordyBytes(5000, id);
    const slab = { id, plain: new SharedArrayBuffer(8192), packed: new SharedArrayBuffer(9000) };
    bytes.copy(Buffer.from(slab.plain));
    worker.postMessage({ id, slab, sizes: [2000, 3000] } satisfies Job);
    return { ...slab, bytes };
  });
  await done;
  t.equal(Atomics.load(count, 0), 3);
  jobs.forEach(({ plain, packed, bytes }, i) => {
    const due = [bytes.subarray(0, 2000), bytes.subarray(2000)].map(chunk =>
      compress('zstd', chunk)!,
    );
    t.same(
      answers[i],
      due.map(({ length }) => length),
    );
    const all = Buffer.concat(due);
    t.ok(Buffer.from(packed, 0, all.length).equals(all));
    t.ok(Buffer.from(plain, 0, 5000).equals(bytes));
  });
});
