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

/** What a program does while threads start: what V8 compiles meanwhile depends on its flags. */
interface StartHooks {
  /** before the first of them is made */
  before(): unknown;
  /** when all of them have begun to run, or have ended */
  after(): unknown;
}

let hooks: StartHooks | undefined;
let starting = 0;

/** From now on, calls `hooks` around starts: for programs that set up their process. */
export const whenThreadStarts = (given: StartHooks): void => {
  hooks = given;
};

/** A thread that does tasks, and counts those it has done in the first Int32 of `done`. */
export const newThread = (done: SharedArrayBuffer): Worker => {
  if (starting++ === 0) hooks?.before();
  const worker = new Worker(new URL('./task-worker.js', import.meta.url), {
    ...bareThread(),
    workerData: { done },
    // it allocates only short lists: a heap of the usual size would take more than its slabs
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64, stackSizeMb: 1 },
  });
  let isStarting = true;
  const started = (): void => {
    if (isStarting && --starting === 0) hooks?.after();
    isStarting = false;
  };
  worker.once('online', started);
  worker.once('exit', started); // without it, if the thread could not start
  return worker;
};
