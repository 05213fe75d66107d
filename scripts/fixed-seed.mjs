/**
 * Loaded into every test before it: random tests try the same cases in each run, so that a run that
 * failed can be had again. SEED=random tries others, SEED=7 those of a seed.
 */
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const { SEED = '1' } = process.env;
const [, test] = process.argv;
if (
  isMainThread &&
  SEED !== 'random' &&
  test &&
  readFileSync(test, 'utf8').includes('fast-check')
) {
  const { default: fc } = await import('fast-check');
  fc.configureGlobal({ seed: Number(SEED) });
}
