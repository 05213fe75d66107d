/** How threads are started. */
import type { WorkerOptions } from 'node:worker_threads';

/**
 * For threads that know a codec or a digest and nothing else: nothing of what was to be loaded into
 * the process for its own sake (a tracer, the loaders of a test runner) is loaded into them.
 */
export const bareThread = (): WorkerOptions => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  return { execArgv: [], env };
};
