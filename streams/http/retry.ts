/** Retries after failures that may be transient. */
import { setTimeout } from 'node:timers/promises';
import { TransientError } from './answer.js';

/** The pause before each retry, in milliseconds. */
export const PAUSES: readonly number[] = [100, 400, 1600];

/** Longest time to wait because a server asks for it. */
const MOST_WAIT = 60_000;

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
      await waitAfter(error, pause, signal);
    }
  }
};

/**
 * Waits before a retry: about as long as the pause, so that many who failed together do not come
 * back together, or as long as the server asks. Throws the error if that is too long.
 */
export const waitAfter = async (
  error: TransientError,
  pause: number,
  signal: AbortSignal,
): Promise<void> => {
  const { retryAfter = 0 } = error;
  if (retryAfter > MOST_WAIT) throw error;
  const wait = Math.max(retryAfter, pause * (0.75 + Math.random() / 2));
  await setTimeout(wait, undefined, { signal });
};
