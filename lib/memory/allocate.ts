/**
 * Buffers for bytes that flow. V8 counts memory outside its heap and collects only when there is
 * much of it, so a program that only passes bytes on would hold tens of megabytes of dead buffers.
 * A command that owns its process asks for timely collections; a library does not.
 */
import v8 from 'node:v8';
import vm from 'node:vm';

let sinceCollection = 0;
let limit = Infinity;
/** no collection has been due so far */
let isSmall = true;
let collect = (): void => undefined;
/** by what factor the space for young objects grows when it is full of live ones */
let youngGrowth = 1;

/** Counts memory that was allocated outside the heap, and collects garbage when it is time to. */
export const account = (size: number): void => {
  sinceCollection += size;
  if (sinceCollection < limit) return;
  isSmall = false;
  collectNow();
};

/** A buffer with memory of its own, not zeroed. */
export const allocate = (size: number): Buffer => {
  account(size);
  return Buffer.allocUnsafeSlow(size);
};

/** No bytes at all. */
export const NO_BYTES = Buffer.alloc(0);

/** Makes a buffer of that many bytes, which are not zeroed. */
export type Allocator = (size: number) => Buffer;

/** Takes memory that small buffers share. */
export const sharedAllocator: Allocator = size => Buffer.allocUnsafe(size);

/** A copy in a buffer of its own. */
export const copyOf = (bytes: Buffer): Buffer => {
  const copy = allocate(bytes.length);
  bytes.copy(copy);
  return copy;
};

/**
 * From now on, collects garbage whenever `size` bytes have been allocated, and keeps the space for
 * young objects as small as it is. For programs, not libraries: it affects the whole process.
 *
 * Minor collections would be cheaper, but with a young space this small, data in flight are old by
 * the time they die, and a larger one would take as much memory as it saves.
 */
export const collectEvery = (size: number): void => {
  v8.setFlagsFromString('--expose-gc');
  collect = vm.runInNewContext('gc') as () => void; // what the flag exposes
  limit = size;
  keepYoungSpace();
};

/**
 * Sets the chosen flags for young objects. Must be called whenever a thread has started, because V8
 * then resets the flags for all threads.
 */
export const keepYoungSpace = (): void => {
  if (limit === Infinity) return;
  v8.setFlagsFromString(`--semi-space-growth-factor=${youngGrowth}`);
  // for a space this small, dividing the work among threads takes longer than doing it
  v8.setFlagsFromString('--no-parallel-scavenge');
};

/**
 * Lets the space for young objects grow as it does by default in V8: for commands that hold records
 * and pass on few bytes. A million entries then take a tenth less time, and 36 MiB more.
 */
export const growYoungSpace = (): void => {
  youngGrowth = 2;
  keepYoungSpace();
};

/**
 * Collects garbage now, before something that takes much memory. Does nothing without
 * `collectEvery`, or if the process has allocated little: collecting would take most of its time.
 */
export const collectNow = (): void => {
  if (isSmall) return;
  sinceCollection = 0;
  collect();
};
