/**
 * Starts the threads that a build will want while the modules of the build are loaded: each takes as
 * long.
 */
import fs from 'node:fs';
import { CONVERSIONS, conversionType } from '../lib/modes.js';
import { defaultWorkers, startAhead } from '../streams/threads.js';
import type { Invocation } from './command-line.js';

type CreateInvocation = Extract<Invocation, { command: 'create' }>;

/** A source of less is done before a thread is there. */
const WORTH_A_THREAD = 0x200000;
/** What a thread must have to do, to be worth its start beside others. */
const WORTH_ANOTHER = 0x800000;

/** Nothing is refused here: what is wrong with the options, the build says. */
export const startThreads = ({ values, positionals }: CreateInvocation): void => {
  const fileSize = sizeOf(positionals[0]!); // the parser requires it
  const isFile = fileSize !== undefined;
  const size = fileSize ?? WORTH_A_THREAD;
  if (size < WORTH_A_THREAD) return;
  const conversion = CONVERSIONS[conversionType(values.type)];
  switch (conversion.mode) {
    case 'native': {
      const { workers = defaultWorkers() } = values;
      startAhead('compressor-worker', Math.min(workers, Math.ceil(size / WORTH_ANOTHER)));
      break;
    }
    case 'tarfs':
      if (!values['blob-id']) startAhead(isFile ? 'file-hash-worker' : 'hash-worker', 1);
      break;
    case 'zran':
      if (conversion.source === 'tar') startAhead('hash-worker', 1);
  }
};

/** Bytes of a regular file; undefined for what only reading tells the size of. */
const sizeOf = (source: string): number | undefined => {
  try {
    const stat = fs.statSync(source, { throwIfNoEntry: false });
    return stat?.isFile() ? stat.size : undefined;
  } catch {
    return 0; // it cannot be read either
  }
};
