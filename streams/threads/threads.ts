/** How threads are started. */
import { availableParallelism } from 'node:os';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Default number of threads: the main thread needs a core, too. */
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

/** A thread that does tasks, and counts those it has done in the first Int32 of `done`. */
export const newThread = (done: SharedArrayBuffer): Worker => {
  const worker = new Worker(new URL('./task-worker.js', import.meta.url), {
    ...bareThread(),
    workerData: { done },
    // it allocates only short lists: a heap of the usual size would take more than its slabs
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64, stackSizeMb: 1 },
  });
  worker.on('online', onThreadStart);
  return worker;
};
