/**
 * Keeps the memory of the process small: garbage is collected in time, and the space for young
 * objects stays as it is.
 */
import vm from 'node:vm';
import { collectEvery } from '../lib/memory/allocate.js';
import { whenThreadStarts } from '../streams/threads/threads.js';
import { setFlag, type Flag } from './v8-flags.js';

/** Bytes that may be allocated between garbage collections. */
const COLLECT_EVERY = 0x600000;

let youngGrowth: Flag = '--semi-space-growth-factor=1';

/**
 * Minor collections would be cheaper, but with a young space this small, data in flight are old by
 * the time they die, and a larger one would take as much memory as it saves.
 */
export const keepMemorySmall = (): void => {
  if (!setFlag('--expose-gc')) return;
  collectEvery(COLLECT_EVERY, vm.runInNewContext('gc') as () => void); // what the flag exposes
  keepYoungSpace();
  // V8 then resets the flags for all threads
  whenThreadStarts(keepYoungSpace);
};

/** Bytes between collections while several layers are in flight: each then has more to look at. */
const COLLECT_SELDOM = 0x2000000;

/** For commands that work on a whole image: garbage may be as large as what is in flight. */
export const collectSeldom = (): void => {
  if (setFlag('--expose-gc')) {
    collectEvery(COLLECT_SELDOM, vm.runInNewContext('gc') as () => void);
  }
};

/**
 * Lets the space for young objects grow as it does by default in V8: for commands that hold records
 * and pass on few bytes. A million entries then take a tenth less time, and 36 MiB more.
 */
export const growYoungSpace = (): void => {
  youngGrowth = '--semi-space-growth-factor=2';
  keepYoungSpace();
};

const keepYoungSpace = (): void => {
  setFlag(youngGrowth);
  // for a space this small, dividing the work among threads takes longer than doing it
  setFlag('--no-parallel-scavenge');
};
