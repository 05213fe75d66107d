/**
 * Starts the threads that a build will need while the modules of the build are loaded: the two take
 * equally long. Of a source whose size only reading can tell, a build finds out itself.
 */
import fs from 'node:fs';
import { CONVERSIONS, conversionType } from '../../lib/config/conversions.js';
import { threadPool } from '../../streams/threads/thread-pool.js';
import { defaultWorkers } from '../../streams/threads/threads.js';
import type { Call } from './command-line.js';

/** Bytes of a layer that make a thread worth its start. */
const WORTH_A_THREAD = 0x800000;
/** Bytes of a tar that take as long to hash. */
const WORTH_HASHING = 0x2000000;

/** Refuses nothing: the build reports what is wrong with the options. */
export const prestartWorkers = ({ values, positionals }: Call<'create'>): void => {
  const size = sizeOf(positionals[0]!); // the parser requires it
  const { mode } = CONVERSIONS[conversionType(values.type)];
  const { workers = defaultWorkers() } = values;
  if (mode === 'native') threadPool.start(Math.min(workers, Math.floor(size / WORTH_A_THREAD)));
  else if (size >= WORTH_HASHING && !values['blob-id']) threadPool.start(1);
};

/** Size of a regular file; of anything else, 0. */
const sizeOf = (source: string): number => {
  try {
    const stat = fs.statSync(source, { throwIfNoEntry: false });
    return stat?.isFile() ? stat.size : 0;
  } catch {
    return 0; // then it cannot be read either
  }
};
