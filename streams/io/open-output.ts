/**
 * Where an artifact goes: a file, a file in a directory, a FIFO, a device or standard output.
 *
 * All are written front to back and never read, measured or seeked. A file gets its final name only
 * when it is complete; until then, it has a random one in the same directory.
 */
import fs from 'node:fs';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { openFifoForWriting, releaseFifo } from './fifo.js';
import { type OutputOptions, type Output, sizeOf } from './output.js';
import { stdoutOutput, socketOutput, streamOutput } from './stream-output.js';
import {
  inPlaceOutput,
  linkEnd,
  namedLaterOutput,
  open,
  replacingOutput,
  statOf,
  temporaryOutput,
} from './file-output.js';

/**
 * Opens an output by path: '-' is standard output; a FIFO is opened once, when it has a reader.
 * Fails with the system's error, EISDIR for a directory.
 */
export const openOutput = async (
  target: string,
  { mode, fsync = true, ...waiting }: OutputOptions = {},
): Promise<Output> => {
  if (target === '-' || target === '/dev/stdout') return stdoutOutput();
  const stat = await statOf(target);
  if (stat?.isFIFO()) return socketOutput(await openFifoForWriting(target, waiting), target);
  if (stat?.isFile()) {
    const real = await realFile(target, stat);
    if (real !== undefined) {
      return replacingOutput(real, { mode, before: stat.mode & 0o7777, fsync });
    }
    // a path that stands for an open file, such as /dev/fd/3, names no file to replace
    return inPlaceOutput(await open(target, 'w'), target);
  }
  if (!stat && /[^/]$/.test(target)) {
    return temporaryOutput(await linkEnd(target), { mode: mode ?? 0o666, fsync });
  }
  // devices; directories fail here
  return inPlaceOutput(await open(target, fs.constants.O_WRONLY), target);
};

/**
 * Opens an output by path, or takes somebody else's stream for one. If that fails, no reader of a
 * FIFO is left waiting.
 */
export const openOutputTo = async (
  target: string | Writable,
  options: OutputOptions = {},
): Promise<Output> => {
  if (typeof target !== 'string') return streamOutput(target);
  try {
    return await openOutput(target, options);
  } catch (error) {
    await releaseFifo(target);
    throw error;
  }
};

/**
 * Opens an output in a directory; its file has mode 0600 by default, and a name that is only known at the end.
 * If there is a file of that name by then, it stays and the new one is dropped.
 */
export const openOutputInDirectory = (
  directory: string,
  { mode = 0o600, fsync = true }: Pick<OutputOptions, 'mode' | 'fsync'> = {},
): Promise<Output> => namedLaterOutput(directory, { mode, fsync });

/** The same, but nothing is created in the directory before there are bytes to write. */
export const openOutputLate = (
  directory: string,
  options: Pick<OutputOptions, 'mode' | 'fsync'> = {},
): Output => {
  let opened: Promise<Output> | undefined;
  let output: Output | undefined;
  return {
    async write(buffers) {
      output = await (opened ??= openOutputInDirectory(directory, options));
      await output.write(buffers);
    },
    flush: async () => output?.flush?.(),
    restrict: () => output?.restrict?.(),
    finish: async name => output?.finish(name),
    abandon: async () => (await opened?.catch(() => undefined))?.abandon(),
    get bytesWritten() {
      return output?.bytesWritten ?? 0;
    },
  };
};

/** An output that only counts. */
export const discardOutput = (): Output => {
  let bytesWritten = 0;
  return {
    write(buffers) {
      bytesWritten += sizeOf(buffers);
      return Promise.resolve();
    },
    finish: () => Promise.resolve(undefined),
    abandon: () => Promise.resolve(),
    get bytesWritten() {
      return bytesWritten;
    },
  };
};

const realpath = promisify(fs.realpath);

/** The path of a file with symlinks resolved; undefined if that leads to another file. */
const realFile = async (target: string, stat: fs.Stats): Promise<string | undefined> => {
  const real = await realpath(target).catch(() => undefined);
  const found = real === undefined ? undefined : await statOf(real);
  return found?.ino === stat.ino && found.dev === stat.dev ? real : undefined;
};
