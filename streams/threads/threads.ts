/**
 * How threads are started. A thread knows a codec or a digest and nothing else, and gets its work
 * by messages, so it can be started before the work is known: starting takes as long as loading the
 * program's own modules.
 */
import { availableParallelism } from 'node:os';
import { Worker, type ResourceLimits, type WorkerOptions } from 'node:worker_threads';

/** Files beside this one that run as threads, and heap limits for those that need little. */
const THREADS = {
  // allocates only short lists: a heap of the usual size would take more than its slabs
  'compressor-worker': {
    maxYoungGenerationSizeMb: 1,
    maxOldGenerationSizeMb: 64,
    stackSizeMb: 1,
  },
  'file-hash-worker': {},
  'hash-worker': {},
} as const satisfies Record<string, ResourceLimits>;

export type ThreadName = keyof typeof THREADS;

/** Default number of threads that compress: the main thread needs a core, too. */
export const defaultWorkers = (): number => Math.min(Math.max(1, availableParallelism() - 1), 16);

/**
 * What was loaded into the process for its own purposes (a tracer, the loaders of a test runner) is
 * not loaded into a thread.
 */
export const bareThread = (): WorkerOptions => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  return { execArgv: [], env };
};

let onThreadStart = (): void => undefined;

/** From now on, calls `hook` when a thread has started: for programs that set up their process. */
export const whenThreadStarts = (hook: () => void): void => {
  onThreadStart = hook;
};

/** Threads that are started but not yet taken. */
const ahead: { name: ThreadName; worker: Worker }[] = [];

/** Starts threads for later calls of `startThread`. Those not taken end with the process. */
export const startAhead = (name: ThreadName, count: number): void => {
  for (let i = 0; i < count; i++) {
    const thread = { name, worker: newThread(name) };
    thread.worker.unref();
    // whoever wants one will start another, and see its failure
    const forget = (): void => {
      const at = ahead.indexOf(thread);
      if (at >= 0) ahead.splice(at, 1);
    };
    thread.worker.on('error', forget).on('exit', forget);
    ahead.push(thread);
  }
};

export const hasThreadAhead = (name: ThreadName): boolean =>
  ahead.some(thread => thread.name === name);

/** A thread that was started ahead, or a new one. */
export const startThread = (name: ThreadName): Worker => {
  const at = ahead.findIndex(thread => thread.name === name);
  if (at < 0) return newThread(name);
  const { worker } = ahead.splice(at, 1)[0]!;
  worker.removeAllListeners('error').removeAllListeners('exit');
  worker.ref();
  return worker;
};

const newThread = (name: ThreadName): Worker => {
  const worker = new Worker(new URL(`./${name}.js`, import.meta.url), {
    ...bareThread(),
    resourceLimits: THREADS[name],
  });
  worker.on('online', onThreadStart);
  return worker;
};
