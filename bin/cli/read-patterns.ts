/** Prefetch patterns, read from standard input to its end if the policy asks for any. */
import { RafsError } from '../../lib/errors.js';
import { NO_BYTES } from '../../lib/memory/allocate.js';
import { MAX_SMALL_FILE } from '../../streams/io/small-file.js';
import type { PrefetchPolicy } from '../../lib/config/conversions.js';
import { parsePrefetchPatterns, type PrefetchPatterns } from '../../lib/layer/prefetch.js';

/** To be called before anything else is checked: the other end may be writing the patterns. */
export const readPatterns = async (policy: PrefetchPolicy): Promise<PrefetchPatterns> =>
  parsePrefetchPatterns(policy === 'none' ? NO_BYTES : await readStdin());

const readStdin = async (): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of process.stdin as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > MAX_SMALL_FILE) {
      throw new RafsError('LIMIT', `the prefetch patterns exceed ${MAX_SMALL_FILE} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces, size);
};
