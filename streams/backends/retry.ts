/** Tries again what may go well the next time. */
import { setTimeout } from 'node:timers/promises';
import { TransientError } from './http-client.js';

/** Tries after the first, and the pause before each, in milliseconds. */
export const PAUSES: readonly number[] = [100, 400, 1600];

/** Runs `work` until it does not fail with a TransientError, or has failed four times. */
export const retrying = async <T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  pauses = PAUSES,
): Promise<T> => {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const pause = pauses[attempt];
      if (pause === undefined || !(error instanceof TransientError)) throw error;
      await setTimeout(pause, undefined, { signal });
    }
  }
};
