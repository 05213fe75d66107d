/**
 * How threads are started. They know a codec or a digest and nothing else, and are told what to do
 * by messages, so that one can be started before it is known what for: that takes as long as a
 * program's own modules do.
 */
import { availableParallelism } from 'node:os';
import { Worker, type ResourceLimits, type WorkerOptions } from 'node:worker_threads';
import { keepYoungSpace } from '../lib/allocate.js';

/** Files beside this one that are run as threads, and the heaps of those that need but little. */
const THREADS = {
  // makes nothing but short lists: a heap of the usual size would take more than its slabs
  'compressor-worker': {
    maxYoungGenerationSizeMb: 1,
    maxOldGenerationSizeMb: 64,
    stackSizeMb: 1,
  },
  'file-hash-worker': {},
  'gunzip-worker': {},
  'hash-worker': {},
} as const satisfies Record<string, ResourceLimits>;

export type ThreadName = keyof typeof THREADS;

/** How many threads compress unless it is said: the main thread is one, too. */
export const defaultWorkers = (): number => Math.min(Math.max(1, availableParallelism() - 1), 16);

/**
 * Nothing of what was to be loaded into the process for its own sake (a tracer, the loaders of a test
 * runner) is loaded into a thread.
 */
export const bareThread = (): WorkerOptions => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  return { execArgv: [], env };
};

/** Started, and nobody's yet. */
const ahead: { name: ThreadName; worker: Worker }[] = [];

/** Starts threads for whoever calls `startThread` next. Those that nobody takes end with the process. */
export const startAhead = (name: ThreadName, count: number): void => {
  for (let i = 0; i < count; i++) {
    const thread = { name, worker: newThread(name) };
    thread.worker.unref();
    // whoever wants one will start another, and is told of its failure
    thread.worker.on('error', () => void ahead.splice(ahead.indexOf(thread), 1));
    ahead.push(thread);
  }
};

export const hasThreadAhead = (name: ThreadName): boolean =>
  ahead.some(thread => thread.name === name);

/** A thread that is starting, or was started ahead. */
export const startThread = (name: ThreadName): Worker => {
  const at = ahead.findIndex(thread => thread.name === name);
  if (at < 0) return newThread(name);
  const { worker } = ahead.splice(at, 1)[0]!;
  worker.removeAllListeners('error');
  worker.ref();
  return worker;
};

const newThread = (name: ThreadName): Worker => {
  const worker = new Worker(new URL(`./${name}.js`, import.meta.url), {
    ...bareThread(),
    resourceLimits: THREADS[name],
  });
  worker.on('online', keepYoungSpace);
  return worker;
};
