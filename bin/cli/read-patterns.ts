/** Prefetch patterns, read from standard input to its end if the policy asks for any. */
import { buffer } from 'node:stream/consumers';
import type { PrefetchPolicy } from '../../lib/config/conversions.js';
import { parsePrefetchPatterns, type PrefetchPatterns } from '../../lib/layer/prefetch.js';

/** To be called before anything else is checked: the other end may be writing the patterns. */
export const readPatterns = async (policy: PrefetchPolicy): Promise<PrefetchPatterns> =>
  parsePrefetchPatterns(policy === 'none' ? Buffer.alloc(0) : await buffer(process.stdin));
