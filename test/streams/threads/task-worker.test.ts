import { createHash } from 'node:crypto';
import { once } from 'node:events';
import t from 'tap';
import { newThread } from '../../../streams/threads/threads.js';
import type { Answer, Message } from '../../../streams/threads/thread-messages.js';

t.test('a thread says that it is ready, does jobs in order and counts them', async t => {
  const done = new Int32Array(new SharedArrayBuffer(4));
  const worker = newThread(done.buffer);
  t.teardown(() => worker.terminate());
  t.same(await once(worker, 'message'), ['ready']);
  const plain = new SharedArrayBuffer(100);
  Buffer.from(plain).write('some text');
  const memory = { plain, packed: new SharedArrayBuffer(100) };
  const ask = async (message: Message): Promise<Answer> => {
    worker.postMessage(message);
    const [answer] = (await once(worker, 'message')) as [Answer]; // it says nothing else
    return answer;
  };
  const options = { kind: 'hash-run' } as const;
  const first = await ask({ job: 1, task: 7, options, slab: 3, memory, sizes: [9] });
  const due = createHash('sha256').update('some text').digest();
  t.match(first, { job: 1 });
  t.ok('made' in first && due.equals(first.made as Uint8Array));
  const second = await ask({ job: 2, task: 7, slab: 3, sizes: [0] });
  t.ok('made' in second && due.equals(second.made as Uint8Array), 'the task goes on');
  t.equal(done[0], 2);
  worker.postMessage({ forget: 7 } satisfies Message);
  const again = await ask({ job: 3, task: 7, options, slab: 3, sizes: [9] });
  t.ok('made' in again && due.equals(again.made as Uint8Array), 'another one begins');
  const failed = await ask({
    job: 4,
    task: 8,
    options: { kind: 'compress', compressor: 'gzip' },
    slab: 3,
    sizes: [9],
  });
  t.match(failed, { job: 4, failure: { message: /gzip is read, not written/ } });
  t.equal(done[0], 4);
});
