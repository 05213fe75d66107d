/**
 * Buffers for bytes that flow. V8 counts memory outside its heap and collects only when there is
 * much of it, so a program that only passes bytes on would hold tens of megabytes of dead buffers.
 * A program that owns its process can give a way to collect them in time; nothing here does.
 */

let sinceCollection = 0;
let limit = Infinity;
/** no collection has been due so far */
let isSmall = true;
let collect = (): void => undefined;

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
 * From now on, calls `collectGarbage` whenever `size` bytes have been allocated. For programs, not
 * libraries: it affects the whole process.
 */
export const collectEvery = (size: number, collectGarbage: () => void): void => {
  collect = collectGarbage;
  limit = size;
};

/**
 * Collects garbage now, before something that takes much memory. Does nothing without
 * `collectEvery`, or if little was allocated, at all or since the last collection: it would take
 * most of the time.
 */
export const collectNow = (): void => {
  if (isSmall || sinceCollection < limit / 4) return;
  sinceCollection = 0;
  collect();
};
