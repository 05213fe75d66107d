/**
 * Starts the threads that a build will need while the modules of the build are loaded: the two take
 * equally long.
 */
import fs from 'node:fs';
import { CONVERSIONS, conversionType } from '../../lib/config/conversions.js';
import { defaultWorkers, startAhead } from '../../streams/threads/threads.js';
import type { Invocation } from './command-line.js';

type CreateInvocation = Extract<Invocation, { command: 'create' }>;

/** A smaller source is done before a thread has started. */
const WORTH_A_THREAD = 0x200000;
/** Bytes of work that make one more thread worth its start. */
const WORTH_ANOTHER = 0x800000;

/** Refuses nothing: the build reports what is wrong with the options. */
export const prestartWorkers = ({ values, positionals }: CreateInvocation): void => {
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

/** Size of a regular file; undefined if only reading can tell the size. */
const sizeOf = (source: string): number | undefined => {
  try {
    const stat = fs.statSync(source, { throwIfNoEntry: false });
    return stat?.isFile() ? stat.size : undefined;
  } catch {
    return 0; // then it cannot be read either
  }
};
