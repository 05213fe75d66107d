/** Prefetch patterns: from standard input, to its end, where the policy asks for any. */
import { buffer } from 'node:stream/consumers';
import type { PrefetchPolicy } from '../lib/modes.js';
import { parsePrefetchPatterns, type PrefetchPatterns } from '../lib/prefetch.js';

/** To be called before anything else is checked: the caller may be writing them. */
export const readPatterns = async (policy: PrefetchPolicy): Promise<PrefetchPatterns> =>
  parsePrefetchPatterns(policy === 'none' ? Buffer.alloc(0) : await buffer(process.stdin));
