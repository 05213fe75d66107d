/** Work that is done again from its beginning when the network has failed on the way. */
import { TransientError } from '../http/answer.js';

/** How often something is begun. */
const MOST_TRIES = 3;

/**
 * Requests are tried again one by one. What that cannot mend (an upload of which a registry has lost
 * a part that is no longer at hand) is begun anew.
 */
export const restarting = async <T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> => {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted || !(error instanceof TransientError) || tries === MOST_TRIES) throw error;
    }
  }
};
