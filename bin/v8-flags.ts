/**
 * Flags of V8. They are for the whole process, so only the program sets them. V8 complains on
 * stderr about a flag that it does not have, so each is set only where it is known to exist.
 *
 * A flag costs more than it says: while any has another value than that of its start, V8 refuses
 * all compiled code that was kept, Node's own included, and compiles from source whatever is loaded
 * (docs/performance.md has figures). So none is set while modules are loaded or threads start.
 */
import v8 from 'node:v8';

/** The first and the last Node that has been seen to have the flag. */
const FLAGS = {
  // how much a function runs before V8 looks whether to optimize it; later Nodes count otherwise
  '--interrupt-budget=400000': [20, 21],
  '--interrupt-budget=67584': [20, 21], // the default
  '--expose-gc': [20, 26],
  '--no-expose-gc': [20, 26],
  '--semi-space-growth-factor=1': [20, 26],
  '--semi-space-growth-factor=2': [20, 26], // the default
  '--no-parallel-scavenge': [20, 26],
  '--parallel-scavenge': [20, 26], // the default
  '--no-incremental-marking': [20, 26],
  '--incremental-marking': [20, 26], // the default
} as const satisfies Readonly<Record<string, readonly [first: number, last: number]>>;

export type Flag = keyof typeof FLAGS;

/** Whether this is Node itself: other runtimes say that they are one of its versions. */
export const isNode = !process.versions.bun && !process.versions.deno;
const major = Number.parseInt(process.versions.node, 10);

/** Sets a flag where it exists; tells whether it does. */
export const setFlag = (flag: Flag): boolean => {
  const [first, last] = FLAGS[flag];
  const known = isNode && major >= first && major <= last;
  if (known) v8.setFlagsFromString(flag);
  return known;
};
