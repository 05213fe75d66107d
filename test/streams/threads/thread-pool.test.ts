import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { ThreadPool, type Slab } from '../../../streams/threads/thread-pool.js';
import { newThread } from '../../../streams/threads/threads.js';

const HASH_CHUNKS = { kind: 'hash-chunks' } as const;

const poolOf = (t: Test, options: ConstructorParameters<typeof ThreadPool>[0] = {}): ThreadPool => {
  const pool = new ThreadPool(options);
  t.teardown(() => pool.close());
  return pool;
};

let ids = 0;
const slabOf = (text: string): Slab => {
  const slab = {
    id: 1e9 + ++ids, // not that of another slab
    plain: new SharedArrayBuffer(0x1000),
    packed: new SharedArrayBuffer(0x2000),
  };
  Buffer.from(slab.plain).write(text);
  return slab;
};
const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');
const hexOf = (made: Uint8Array): string => Buffer.from(made.subarray(0, 32)).toString('hex');

/** Resolves when all threads are ready. */
const ready = async (pool: ThreadPool, workers: number): Promise<void> => {
  while (pool.haveEnough(workers)) await new Promise(resolve => setTimeout(resolve, 5));
};

/** A thread of which nothing is known but this program. */
const threadOf = (program: string) => (): Worker =>
  new Worker(`const { parentPort } = require('node:worker_threads'); ${program}`, { eval: true });

t.test('without threads the work is done here, and no thread is started for little', async t => {
  const pool = poolOf(t);
  const client = pool.client(HASH_CHUNKS, { workers: 2 });
  for (const text of ['one', 'two']) {
    const { done, isReady } = client.run(slabOf(text), [3]);
    t.equal(isReady, true);
    t.equal(hexOf(await done), digestOf(text));
  }
  t.equal(pool.size, 0);
  client.close();
});

t.test('a thread is started when the work done here would have paid for it', async t => {
  const pool = poolOf(t, { startAfter: 0 });
  const client = pool.client(HASH_CHUNKS, { workers: 2 });
  t.equal(client.run(slabOf('one'), [3]).isReady, true);
  t.equal(pool.size, 1);
  t.equal(client.run(slabOf('two'), [3]).isReady, true, 'nobody waits for a thread that starts');
  t.equal(pool.size, 1, 'one at a time');
  await ready(pool, 2);
  const running = client.run(slabOf('three'), [5]);
  t.equal(running.isReady, false);
  t.equal(hexOf(await running.done), digestOf('three'));
  t.equal(running.isReady, true);
  const none = pool.client(HASH_CHUNKS, { workers: 0 });
  t.equal(none.run(slabOf('four'), [4]).isReady, true, 'whoever wants no thread uses none');
  t.equal(pool.size, 1);
});

t.test('threads have a stock of jobs, and the rest is done here', async t => {
  const pool = poolOf(t);
  pool.start(1);
  await ready(pool, 1);
  const client = pool.client(HASH_CHUNKS, { workers: 1 });
  const runs = Array.from({ length: 40 }, (_, i) => client.run(slabOf(`text ${i}`), [6]));
  t.ok(runs.some(({ isReady }) => isReady));
  t.ok(runs.some(({ isReady }) => !isReady));
  for (const [i, { done }] of runs.entries()) {
    t.equal(hexOf(await done), digestOf(`text ${i}`.slice(0, 6)));
  }
});

t.test('jobs of several clients share the threads, each with its own task', async t => {
  const pool = poolOf(t);
  pool.start(2);
  await ready(pool, 2);
  const chunks = pool.client(HASH_CHUNKS, { workers: 2 });
  const blocks = pool.client({ kind: 'hash-blocks', blockSize: 4 }, { workers: 2 });
  const slab = slabOf('eight by');
  const [a, b] = await Promise.all([
    chunks.run(slab, [8]).done,
    blocks.run(slab, [8]).done, // the same memory: both only read it
  ]);
  t.equal(hexOf(a), digestOf('eight by'));
  t.equal(Buffer.from(b).toString('hex'), digestOf('eigh') + digestOf('t by'));
});

t.test('a run of jobs goes to one thread', async t => {
  const pool = poolOf(t);
  pool.start(2);
  await ready(pool, 2);
  const run = pool.client({ kind: 'hash-run' }, { workers: 2, isRun: true });
  run.bind();
  const other = pool.client(HASH_CHUNKS, { workers: 2 });
  let last: Uint8Array | undefined;
  for (let i = 0; i < 10; i++) {
    const running = run.run(slabOf('again '), [6]);
    other.run(slabOf('x'), [1]).done.catch(() => undefined);
    last = await running.done;
  }
  t.equal(hexOf(last!), digestOf('again '.repeat(10)));
});

t.test('a job that fails says why, and its thread goes on', async t => {
  const pool = poolOf(t);
  pool.start(1);
  await ready(pool, 1);
  const client = pool.client({ kind: 'compress', compressor: 'gzip' }, { workers: 1 });
  await t.rejects(client.run(slabOf('text'), [4]).done, { message: /gzip is read, not written/ });
  client.close();
  const next = pool.client(HASH_CHUNKS, { workers: 1 });
  t.equal(hexOf(await next.run(slabOf('text'), [4]).done), digestOf('text'));
  t.equal(pool.size, 1);
});

t.test('after a thread has failed its jobs fail, and others start', async t => {
  let bad = true;
  const pool = poolOf(t, {
    start: done =>
      bad
        ? threadOf(
            "parentPort.postMessage('ready'); parentPort.on('message', () => { throw new Error('no luck'); });",
          )()
        : newThread(done),
  });
  pool.start(1);
  await ready(pool, 1);
  const client = pool.client(HASH_CHUNKS, { workers: 1 });
  const running = [1, 2, 3].map(() => client.run(slabOf('text'), [4]).done);
  for (const done of running) await t.rejects(done, { message: 'no luck' });
  t.equal(pool.size, 0);
  t.equal(hexOf(await client.run(slabOf('text'), [4]).done), digestOf('text'), 'done here');
  bad = false;
  pool.start(1);
  await ready(pool, 1);
  t.equal(hexOf(await client.run(slabOf('text'), [4]).done), digestOf('text'), 'done there');
});

t.test('a thread that ends before it has answered', async t => {
  const program =
    "parentPort.postMessage('ready'); parentPort.once('message', () => process.exit(7));";
  const pool = poolOf(t, { start: threadOf(program) });
  pool.start(1);
  await ready(pool, 1);
  const run = pool.client({ kind: 'hash-run' }, { workers: 1, isRun: true });
  run.bind();
  const first = run.run(slabOf('text'), [4]).done;
  await t.rejects(first, { message: 'a thread ended with status 7' });
  await t.rejects(run.run(slabOf('text'), [4]).done, { message: /has ended/ });
});

t.test(
  'threads that end or fail before they are ready are not waited for, nor tried forever',
  async t => {
    for (const program of ['process.exit(0)', "throw new Error('broken')"]) {
      let started = 0;
      const pool = poolOf(t, {
        startAfter: 0,
        start: () => {
          started++;
          return threadOf(program)();
        },
      });
      const client = pool.client(HASH_CHUNKS, { workers: 1 });
      for (let i = 0; i < 10; i++) {
        t.equal(hexOf(await client.run(slabOf('text'), [4]).done), digestOf('text'));
        while (pool.size > 0) await new Promise(resolve => setTimeout(resolve, 5));
      }
      t.equal(started, 3);
    }
  },
);

t.test('answers that come late or twice are nobody’s', async t => {
  const program = `parentPort.postMessage('ready');
    parentPort.on('message', ({ job }) => {
      for (const made of [new Uint8Array(1), new Uint8Array(2)]) parentPort.postMessage({ job, made });
      parentPort.postMessage({ job: -1, made: new Uint8Array(3) });
    });`;
  const pool = poolOf(t, { start: threadOf(program) });
  pool.start(1);
  await ready(pool, 1);
  const client = pool.client(HASH_CHUNKS, { workers: 1 });
  t.equal((await client.run(slabOf('text'), [4]).done).length, 1);
  await new Promise(resolve => setTimeout(resolve, 20));
  t.equal((await client.run(slabOf('text'), [4]).done).length, 1);
});

t.test('threads that are ended while they work: the process waits for their end', async t => {
  const script = `
    import { ThreadPool } from ${JSON.stringify(new URL('../../../streams/threads/thread-pool.js', import.meta.url))};
    for (let round = 0; round < 10; round++) {
      const pool = new ThreadPool();
      pool.start(1);
      while (pool.haveEnough(1)) await new Promise(resolve => setTimeout(resolve, 5));
      const client = pool.client({ kind: 'hash-chunks' }, { workers: 1 });
      const slab = { id: round, plain: new SharedArrayBuffer(9), packed: new SharedArrayBuffer(9) };
      client.run(slab, [9]).done.catch(error => console.log(error.message));
      await pool.close();
    }
    console.log('done');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  let text = '';
  child.stdout.on('data', data => (text += String(data)));
  t.same(await once(child, 'close'), [0, null], 'status');
  t.equal(text, `${'the threads were ended\n'.repeat(10)}done\n`);
});

t.test('threads with memory that nobody needs end when their tasks are over', async t => {
  const pool = poolOf(t);
  pool.start(1);
  await ready(pool, 1);
  const slab = slabOf('text');
  const client = pool.client(HASH_CHUNKS, { workers: 1 });
  await client.run(slab, [4]).done;
  pool.drop([slabOf('another')]);
  t.equal(pool.size, 1);
  pool.drop([slab]);
  t.equal(pool.size, 1);
  client.close();
  t.equal(pool.size, 0);
});

t.test('a process ends with idle threads, and not before its jobs are done', async t => {
  const script = `
    import { threadPool } from ${JSON.stringify(new URL('../../../streams/threads/thread-pool.js', import.meta.url))};
    import { SlabQueue } from ${JSON.stringify(new URL('../../../streams/threads/slab-queue.js', import.meta.url))};
    threadPool.start(2);
    const queue = new SlabQueue({ task: { kind: 'hash-run' }, workers: 2, isRun: true });
    queue.bind();
    queue.send('item', queue.take(), [1000]);
    queue.next().then(({ item, made }) => console.log(item, made.length));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  let text = '';
  child.stdout.on('data', data => (text += String(data)));
  t.same(await once(child, 'close'), [0, null]);
  t.equal(text, 'item 32\n');
});
