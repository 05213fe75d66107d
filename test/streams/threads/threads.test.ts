import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import {
  bareThread,
  defaultWorkers,
  hasThreadAhead,
  startAhead,
  startThread,
} from '../../../streams/threads/threads.js';

/** What a thread says of itself. */
const facts = `
  const { parentPort } = require('node:worker_threads');
  parentPort.postMessage({ loaded: globalThis.loaded, env: process.env.RAFS_TEST, execArgv: process.execArgv });
`;

t.test('a thread has the environment of the process, and not what was loaded into it', async t => {
  const before = process.env.NODE_OPTIONS;
  t.teardown(() => {
    if (before === undefined) delete process.env.NODE_OPTIONS;
    else process.env.NODE_OPTIONS = before;
    delete process.env.RAFS_TEST;
  });
  const loaded = t.testdirName;
  t.testdir({ 'loaded.cjs': 'globalThis.loaded = true;' });
  process.env.NODE_OPTIONS = `--require=${loaded}/loaded.cjs`;
  process.env.RAFS_TEST = 'here';
  const ask = async (options: object): Promise<unknown> => {
    const worker = new Worker(facts, { eval: true, ...options });
    const [message] = (await once(worker, 'message')) as [unknown]; // of our own
    await worker.terminate();
    return message;
  };
  t.match(await ask(bareThread()), { loaded: undefined, env: 'here', execArgv: [] });
  const options = { env: process.env, execArgv: process.execArgv };
  t.match(await ask(options), { loaded: true, env: 'here' }, 'other threads have it');
});

t.test('there is at least one worker', async t => {
  t.ok(Number.isInteger(defaultWorkers()) && defaultWorkers() >= 1);
});

t.test(
  'a thread that was started ahead is the next of its name, and does what it is told',
  async t => {
    t.equal(hasThreadAhead('hash-worker'), false);
    startAhead('hash-worker', 2);
    t.equal(hasThreadAhead('hash-worker'), true);
    t.equal(hasThreadAhead('compressor-worker'), false);
    const workers = [startThread('hash-worker'), startThread('hash-worker')];
    t.equal(hasThreadAhead('hash-worker'), false);
    workers.push(startThread('hash-worker'));
    t.equal(new Set(workers).size, 3);
    for (const worker of workers) {
      worker.postMessage({ size: 0 });
      const [answer] = (await once(worker, 'message')) as [{ digests: Uint8Array }];
      t.equal(
        Buffer.from(answer.digests).toString('hex'),
        'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      );
      await worker.terminate();
    }
  },
);

t.test('a process ends with threads that nobody took', async t => {
  const script = `
    import { startAhead } from ${JSON.stringify(new URL('../../../streams/threads/threads.js', import.meta.url))};
    startAhead('compressor-worker', 3);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: 'inherit',
  });
  t.same(await once(child, 'exit'), [0, null]);
});
