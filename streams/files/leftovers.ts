/**
 * What runs that were killed have left in a directory: files that nobody will complete. Whoever
 * writes there next removes them, since they may be what fills the disk.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { hasEnded } from './process-mark.js';
import { makerOf } from './temporary-name.js';

/** Another machine or container may still be writing to a file that was touched since. */
const DAY_MS = 24 * 60 * 60 * 1000;

const looked = new Map<string, Promise<void>>();

/** Removes leftovers, once for each directory; never fails. */
export const removeLeftovers = (directory: string): Promise<void> => {
  const key = path.resolve(directory);
  const before = looked.get(key);
  if (before) return before;
  const removing = remove(key).catch(() => undefined); // they are in nobody's way
  looked.set(key, removing);
  return removing;
};

const remove = async (directory: string): Promise<void> => {
  for (const name of await readdir(directory)) {
    const maker = makerOf(name);
    if (!maker) continue;
    const file = path.join(directory, name);
    const over = hasEnded(maker) ?? (await lastTouched(file)) < Date.now() - DAY_MS;
    if (over) await rm(file, { recursive: true, force: true });
  }
};

/** When a file, or the last one of a folder, was written to. */
const lastTouched = async (file: string): Promise<number> => {
  const found = await stat(file);
  if (!found.isDirectory()) return found.mtimeMs;
  const names = await readdir(file, { recursive: true });
  const times = names.map(async name => (await stat(path.join(file, name))).mtimeMs);
  return Math.max(found.mtimeMs, ...(await Promise.all(times)));
};
