/**
 * Buffers for bytes that flow. V8 counts memory outside its heap and collects only when there is
 * much of it, so a program that does nothing but pass bytes on would hold tens of megabytes of dead
 * buffers. A command that owns its process asks for collections in time; a library does not.
 */
import v8 from 'node:v8';
import vm from 'node:vm';

let sinceCollection = 0;
let limit = Infinity;
/** nothing has ever been due */
let isSmall = true;
let collect = (): void => undefined;
/** of the space for young objects, whenever it is full of what lives */
let youngGrowth = 1;

/** Counts memory that was taken outside the heap, and collects where it is time to. */
export const account = (size: number): void => {
  sinceCollection += size;
  if (sinceCollection < limit) return;
  isSmall = false;
  collectNow();
};

/** A buffer of its own memory, not zeroed. */
export const allocate = (size: number): Buffer => {
  account(size);
  return Buffer.allocUnsafeSlow(size);
};

/** Makes a buffer of that many bytes, with whatever is in them. */
export type Room = (size: number) => Buffer;

/** Of memory that small buffers share. */
export const sharedRoom: Room = size => Buffer.allocUnsafe(size);

/** A copy in a buffer of its own. */
export const copyOf = (bytes: Buffer): Buffer => {
  const copy = allocate(bytes.length);
  bytes.copy(copy);
  return copy;
};

/**
 * From now on collects garbage whenever `size` bytes were allocated, and keeps the space for young
 * objects as small as it is. For programs, not libraries: it holds for the whole process.
 *
 * Minor collections would be cheaper, but with a young space this small, what is in flight is old
 * by the time it dies; and with a larger one that space takes what it saves.
 */
export const collectEvery = (size: number): void => {
  v8.setFlagsFromString('--expose-gc');
  collect = vm.runInNewContext('gc') as () => void; // what the flag exposes
  limit = size;
  keepYoungSpace();
};

/**
 * Sets the flags for young objects as they were chosen. To be called when a thread has started: V8
 * sets its flags anew for every thread, for all of them.
 */
export const keepYoungSpace = (): void => {
  if (limit === Infinity) return;
  v8.setFlagsFromString(`--semi-space-growth-factor=${youngGrowth}`);
  // for a space this small, to divide the work among threads takes longer than to do it
  v8.setFlagsFromString('--no-parallel-scavenge');
};

/**
 * Lets the space for young objects grow as V8 would have it: for what holds records, and passes
 * few bytes on. A million entries take a tenth less time with it, and 36 MiB more.
 */
export const growYoungSpace = (): void => {
  youngGrowth = 2;
  keepYoungSpace();
};

/**
 * Collects garbage now, before something that takes much memory; where that is done at all, and not
 * in a process that has taken little: it would be most of its time.
 */
export const collectNow = (): void => {
  if (isSmall) return;
  sinceCollection = 0;
  collect();
};
