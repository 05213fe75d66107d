/**
 * Keeps the memory of the process small: garbage is collected in time, and the space for young
 * objects stays as it is. Flags are set when there is something to collect for the first time, so a
 * command that is done before has none (see v8-flags.ts).
 */
import vm from 'node:vm';
import { collectEvery } from '../lib/memory/allocate.js';
import { whenThreadStarts } from '../streams/threads/threads.js';
import { isNode, setFlag, type Flag } from './v8-flags.js';

/** Bytes that may be allocated between garbage collections. */
const COLLECT_EVERY = 0x600000;
/** Bytes between collections while several layers are in flight: each then has more to look at. */
const COLLECT_SELDOM = 0x4000000;

/** Flags of a long run, and what they are otherwise. */
const LONG_RUN: [flag: Flag, otherwise: Flag][] = [
  // V8 optimizes a function only when it has run six times as much as by default: a build is short,
  // and its threads need the cores on which V8 would compile
  ['--interrupt-budget=400000', '--interrupt-budget=67584'],
  // so few objects are marked sooner all at once than in steps, and no thread is woken for it
  ['--no-incremental-marking', '--incremental-marking'],
];

/**
 * Minor collections would be cheaper, but with a young space this small, data in flight are old by
 * the time they die, and a larger one would take as much memory as it saves.
 */
const SMALL_YOUNG_SPACE: [flag: Flag, otherwise: Flag][] = [
  ['--semi-space-growth-factor=1', '--semi-space-growth-factor=2'],
  // for a space this small, dividing the work among threads takes longer than doing it
  ['--no-parallel-scavenge', '--parallel-scavenge'],
];

let isYoungSpaceSmall = true;

const flags = (): readonly (readonly [flag: Flag, otherwise: Flag])[] =>
  isYoungSpaceSmall ? [...LONG_RUN, ...SMALL_YOUNG_SPACE] : LONG_RUN;

const setFlags = (): void => {
  for (const [flag] of flags()) setFlag(flag);
};

const resetFlags = (): void => {
  for (const [, otherwise] of flags()) setFlag(otherwise);
};

let collect: (() => void) | undefined;

const collectGarbage = (): void => {
  if (!collect) {
    setFlag('--expose-gc');
    collect = vm.runInNewContext('gc') as () => void; // what the flag exposes
    setFlag('--no-expose-gc');
    setFlags();
    // V8 also resets the young space's flags when a thread starts
    whenThreadStarts({ before: resetFlags, after: setFlags });
    // before compiled code is kept (code-cache.ts)
    process.prependListener('exit', resetFlags);
  }
  collect();
};

export const keepMemorySmall = (): void => {
  if (isNode) collectEvery(COLLECT_EVERY, collectGarbage);
};

/** For commands that work on a whole image: garbage may be as large as what is in flight. */
export const collectSeldom = (): void => {
  if (isNode) collectEvery(COLLECT_SELDOM, collectGarbage);
};

/**
 * Lets the space for young objects grow as it does by default in V8: for commands that hold records
 * and pass on few bytes. A million entries then take a tenth less time, and 36 MiB more.
 */
export const growYoungSpace = (): void => {
  isYoungSpaceSmall = false;
};
