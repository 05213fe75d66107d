/** Retries after failures that may be transient. */
import { setTimeout } from 'node:timers/promises';
import { TransientError } from './http-client.js';

/** The pause before each retry, in milliseconds. */
export const PAUSES: readonly number[] = [100, 400, 1600];

/** Runs `work`; after a TransientError tries again, once after each pause. */
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
