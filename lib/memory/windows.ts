/**
 * Bytes made front to back from items that come in another order: each item belongs to the window
 * in which it starts, and what reaches beyond it waits for the next window.
 */
import { allocate } from './allocate.js';

/** Bytes are made in pieces of this size. */
export const WINDOW = 0x40000;

/** Copies bytes to an offset of the current window; they may reach beyond it. */
export type Put = (at: number, bytes: Buffer) => void;

export interface WindowsOptions {
  /** offsets of the first byte, and after the last one */
  start: number;
  end: number;
  /** Calls `visit` with the offset and number of each item. `each` itself is called twice. */
  each: (visit: (offset: number, item: number) => void) => void;
  /**
   * Writes an item into the zeroed window that starts at `from`, or passes it to `put`. Items of a
   * window come in the order of `each`.
   */
  write: (item: number, from: number, window: Buffer, put: Put) => void;
}

/** Holds 8 bytes per item, and what reaches beyond a window. */
export function* windows({ start, end, each, write }: WindowsOptions): Iterable<Buffer> {
  const count = Math.ceil((end - start) / WINDOW);
  const windowOf = (offset: number): number => Math.floor((offset - start) / WINDOW);
  const fill = new Uint32Array(count + 1); // once counted: where the items of each window start
  each(offset => fill[windowOf(offset) + 1]!++);
  for (let w = 0; w < count; w++) fill[w + 1]! += fill[w]!;
  const items = new Float64Array(fill[count]!);
  const next = fill.slice();
  each((offset, item) => (items[next[windowOf(offset)]!++] = item));

  let carried: { at: number; bytes: Buffer }[] = []; // what reaches into later windows
  for (let w = 0; w < count; w++) {
    const from = start + w * WINDOW;
    const window = allocate(Math.min(WINDOW, end - from)).fill(0);
    const rest: typeof carried = [];
    const put: Put = (at, bytes) => {
      const here = Math.min(bytes.length, window.length - at);
      bytes.copy(window, at, 0, here);
      if (here < bytes.length) rest.push({ at: at + here - WINDOW, bytes: bytes.subarray(here) });
    };
    for (const { at, bytes } of carried) put(at, bytes);
    for (let i = fill[w]!; i < fill[w + 1]!; i++) write(items[i]!, from, window, put);
    carried = rest;
    yield window;
  }
}
