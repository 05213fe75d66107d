/** A thread of thread-pool: does tasks, and knows nothing of what they are for. */
import { parentPort, workerData } from 'node:worker_threads';
import type { RunMemory } from '../../lib/chunk/compress-run.js';
import { performerOf, prepareTask, type Perform, type TaskKind } from './tasks.js';
import { failureOf, type Answer, type Message } from './thread-messages.js';

const port = parentPort!; // this file is only ever run as a worker
const done = new Int32Array((workerData as { done: SharedArrayBuffer }).done);

interface Doing {
  readonly ready: Promise<void>;
  perform?: Perform<TaskKind>;
}

const tasks = new Map<number, Doing>();
const slabs = new Map<number, RunMemory>();
/** for tasks without a slab */
const NO_MEMORY: RunMemory = {
  plain: new SharedArrayBuffer(0),
  packed: new SharedArrayBuffer(0),
};

const take = async (message: Message): Promise<void> => {
  if ('forget' in message) {
    tasks.delete(message.forget);
    return;
  }
  const { job, task, options, slab, memory, sizes } = message;
  if (options) tasks.set(task, { ready: prepareTask(options.kind) });
  if (memory) slabs.set(slab!, memory);
  let answer: Answer;
  try {
    const doing = tasks.get(task)!; // it comes with the first job
    await doing.ready;
    doing.perform ??= performerOf(options!);
    answer = { job, made: doing.perform(slab === undefined ? NO_MEMORY : slabs.get(slab)!, sizes) };
  } catch (error) {
    answer = { job, failure: failureOf(error) };
  }
  Atomics.add(done, 0, 1);
  port.postMessage(answer);
};

port.on('message', (message: Message) => void take(message));
port.postMessage('ready');
