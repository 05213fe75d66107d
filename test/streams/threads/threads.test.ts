import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import {
  bareThread,
  defaultWorkers,
  newThread,
  whenThreadStarts,
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

t.test('whoever set up the process hears when threads start and when they run', async t => {
  const heard: string[] = [];
  whenThreadStarts({ before: () => heard.push('before'), after: () => heard.push('after') });
  t.teardown(() => whenThreadStarts({ before: () => undefined, after: () => undefined }));
  const workers = [newThread(new SharedArrayBuffer(4)), newThread(new SharedArrayBuffer(4))];
  await Promise.all(workers.map(worker => once(worker, 'online')));
  t.same(heard, ['before', 'after'], 'once for all that start at the same time');
  await Promise.all(workers.map(worker => worker.terminate()));
});
