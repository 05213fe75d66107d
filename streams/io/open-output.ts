/**
 * Where an artifact goes: a file, a file in a directory, a FIFO, a device or standard output.
 *
 * All are written front to back and never read, measured or seeked. A file gets its final name only
 * when it is complete; until then, it has a random one in the same directory.
 */
import fs from 'node:fs';
import type net from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { RafsError } from '../../lib/errors.js';
import { openFifoForWriting, type FifoWaiting } from './fifo.js';
import { hiddenName } from './temporary-name.js';

export interface Output {
  /** Appends; resolves when the system has taken the bytes. One call at a time. */
  write(buffers: readonly Buffer[]): Promise<void>;
  /** Appends zeros that take no space; not while a write is in progress. Only new files have it. */
  hole?(size: number): void;
  /**
   * Completes the output. In a directory, `finalName` is the name of its file; without one, no file
   * stays. Resolves to its path; undefined if it has none.
   */
  finish(finalName?: string): Promise<string | undefined>;
  /** Gives up: no new file stays, and a FIFO's reader sees the end. Does nothing once finished. */
  abandon(): Promise<void>;
  readonly bytesWritten: number;
}

export interface OutputOptions extends FifoWaiting {
  /** permissions of a new file, less the umask; default: 0666 */
  mode?: number;
}

/**
 * Opens an output by path: '-' is standard output; a FIFO is opened once, when it has a reader.
 * Fails with the system's error, EISDIR for a directory.
 */
export const openOutput = async (
  target: string,
  { mode, ...waiting }: OutputOptions = {},
): Promise<Output> => {
  if (target === '-' || target === '/dev/stdout') return stdoutOutput();
  const stat = await statOf(target);
  if (stat?.isFIFO()) return socketOutput(await openFifoForWriting(target, waiting), target);
  if (stat?.isFile()) {
    const real = await realFile(target, stat);
    if (real !== undefined) return replacingOutput(real, mode, stat.mode & 0o7777);
    // a path that stands for an open file, such as /dev/fd/3, names no file to replace
    return inPlaceOutput(await open(target, 'w'), target);
  }
  if (!stat && /[^/]$/.test(target)) return temporaryOutput(await linkEnd(target), mode ?? 0o666);
  // devices; directories fail here
  return inPlaceOutput(await open(target, fs.constants.O_WRONLY), target);
};

/**
 * Opens an output in a directory; its file has mode 0600, and a name that is only known at the end.
 * If there is a file of that name by then, it stays and the new one is dropped.
 */
export const openOutputInDirectory = (directory: string): Promise<Output> =>
  namedLaterOutput(directory);

/** The same, but nothing is created in the directory before there are bytes to write. */
export const openOutputLate = (directory: string): Output => {
  let opened: Promise<Output> | undefined;
  let output: Output | undefined;
  return {
    async write(buffers) {
      output = await (opened ??= openOutputInDirectory(directory));
      await output.write(buffers);
    },
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

/** Removes the files of all unfinished outputs, synchronously: for signals and at exit. */
export const abandonAll = (): void => {
  for (const temporary of live) {
    try {
      fs.unlinkSync(temporary);
    } catch {
      // it or its directory is gone already; there is nobody to tell
    }
  }
  live.clear();
};

/** Files that still have a random name. */
const live = new Set<string>();

const open = promisify(fs.open);
const close = promisify(fs.close);
const ftruncate = promisify(fs.ftruncate);
const chmod = promisify(fs.chmod);
const rename = promisify(fs.rename);
const unlink = promisify(fs.unlink);
const realpath = promisify(fs.realpath);
const readlink = promisify(fs.readlink);

const statOf = (target: string): Promise<fs.Stats | undefined> =>
  promisify(fs.stat)(target).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });

/** The path of a file with symlinks resolved; undefined if that leads to another file. */
const realFile = async (target: string, stat: fs.Stats): Promise<string | undefined> => {
  const real = await realpath(target).catch(() => undefined);
  const found = real === undefined ? undefined : await statOf(real);
  return found?.ino === stat.ino && found.dev === stat.dev ? real : undefined;
};

/** Where a path to nothing would create a file: symlinks are followed, not replaced. */
const linkEnd = async (target: string): Promise<string> => {
  let end = target;
  // the kernel follows 40, too; it has just reported ENOENT and not ELOOP
  for (let followed = 0; followed < 40; followed++) {
    const link = await readlink(end).catch(() => undefined);
    if (link === undefined) break;
    end = path.resolve(path.dirname(end), link);
  }
  return end;
};

const sizeOf = (buffers: readonly Buffer[]): number =>
  buffers.reduce((sum, buffer) => sum + buffer.length, 0);

/** An open file, written from its current position; short writes are continued. */
class OpenFile {
  bytesWritten = 0;
  #fd: number | undefined;
  #writing: Promise<void> = Promise.resolve();
  #holes = false; // there are some, so the descriptor's position is not ours
  #hole = false; // the file ends in one

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Only for a file that was empty when it was opened: later writes state their position in it. */
  hole(size: number): void {
    this.bytesWritten += size;
    this.#holes = true;
    this.#hole = true;
  }

  write(buffers: readonly Buffer[]): Promise<void> {
    if (this.#fd === undefined) return Promise.reject(new Error('output is closed'));
    this.#writing = this.#writeAll(this.#fd, buffers);
    return this.#writing;
  }

  async #writeAll(fd: number, buffers: readonly Buffer[]): Promise<void> {
    let left = buffers.filter(buffer => buffer.length > 0);
    if (left.length > 0) this.#hole = false;
    while (left.length > 0) {
      const written = await writeSome(fd, left, this.#holes ? this.bytesWritten : null);
      this.bytesWritten += written;
      left = without(left, written);
    }
  }

  /** Closes the file after the write in progress; fails if the system still reports an error. */
  async close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = undefined;
    await this.#writing.catch(() => undefined); // the writer knows of its failure
    if (fd === undefined) return;
    try {
      if (this.#hole) await ftruncate(fd, this.bytesWritten);
    } finally {
      await close(fd);
    }
  }
}

const writeSome = (
  fd: number,
  buffers: readonly Buffer[],
  position: number | null,
): Promise<number> =>
  new Promise((resolve, reject) => {
    fs.writev(fd, buffers, position, (error, written) => {
      if (error) reject(error);
      else resolve(written);
    });
  });

/** What is left of the buffers after their first `size` bytes. */
export const without = (buffers: readonly Buffer[], size: number): Buffer[] => {
  let at = 0;
  let rest = size;
  while (at < buffers.length && rest >= buffers[at]!.length) rest -= buffers[at++]!.length;
  const left = buffers.slice(at);
  if (rest > 0) left[0] = left[0]!.subarray(rest);
  return left;
};

/** A file with a random name, which is either renamed or removed in the end. */
class TemporaryFile {
  readonly temporary: string;
  #file: OpenFile;
  #done = false;

  constructor(temporary: string, fd: number) {
    this.temporary = temporary;
    this.#file = new OpenFile(fd);
  }

  static async create(directory: string, mode: number): Promise<TemporaryFile> {
    const temporary = hiddenName(directory);
    live.add(temporary);
    try {
      return new TemporaryFile(temporary, await open(temporary, 'wx', mode));
    } catch (error) {
      live.delete(temporary);
      throw error;
    }
  }

  get bytesWritten(): number {
    return this.#file.bytesWritten;
  }

  async write(buffers: readonly Buffer[]): Promise<void> {
    try {
      await this.#file.write(buffers);
    } catch (error) {
      await this.abandon(); // so that a full disk does not stay full
      throw error;
    }
  }

  hole(size: number): void {
    this.#file.hole(size);
  }

  async rename(to: string): Promise<string> {
    try {
      await this.#file.close();
      await rename(this.temporary, to);
    } catch (error) {
      await this.abandon();
      throw error;
    }
    this.#done = true;
    live.delete(this.temporary);
    return to;
  }

  async abandon(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    await this.#file.close().catch(() => undefined); // its data are no longer wanted
    await unlink(this.temporary).catch(() => undefined); // abandonAll may have removed it
    live.delete(this.temporary);
  }
}

const temporaryOutput = async (
  target: string,
  mode: number,
): Promise<Output & { temporary: string }> => {
  const file = await TemporaryFile.create(path.dirname(target), mode);
  return Object.assign(outputOf(file), {
    temporary: file.temporary,
    finish: () => file.rename(target),
    hole: (size: number) => file.hole(size),
  });
};

/** A file that replaces another takes over its permissions, unless `given` says otherwise. */
const replacingOutput = async (
  target: string,
  given: number | undefined,
  before: number,
): Promise<Output> => {
  const output = await temporaryOutput(target, given ?? 0o600);
  if (given !== undefined) return output;
  try {
    await chmod(output.temporary, before);
  } catch (error) {
    await output.abandon();
    throw error;
  }
  return output;
};

const namedLaterOutput = async (directory: string): Promise<Output> => {
  const file = await TemporaryFile.create(directory, 0o600);
  return Object.assign(outputOf(file), {
    async finish(name?: string) {
      if (name === undefined) return file.abandon().then(() => undefined);
      if (/^\.{0,2}$|[/\0]/.test(name)) {
        await file.abandon();
        throw new RafsError('USAGE', `'${name}' is not a file name`);
      }
      const target = path.join(directory, name);
      // names stand for content: a file of that name is the same
      if (!(await statOf(target))) return file.rename(target);
      await file.abandon();
      return target;
    },
  });
};

const outputOf = (file: TemporaryFile) => ({
  write: (buffers: readonly Buffer[]) => file.write(buffers),
  abandon: () => file.abandon(),
  get bytesWritten() {
    return file.bytesWritten;
  },
});

const inPlaceOutput = (fd: number, target: string): Output => {
  const file = new OpenFile(fd);
  return {
    write: buffers => file.write(buffers),
    finish: () => file.close().then(() => target),
    abandon: () => file.close(),
    get bytesWritten() {
      return file.bytesWritten;
    },
  };
};

/** A FIFO's writing end. Without a reader, writes fail with EPIPE. */
const socketOutput = (socket: net.Socket, target: string): Output => {
  let failure: Error | undefined;
  let bytesWritten = 0;
  socket.on('error', error => (failure = error));
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
  return {
    async write(buffers) {
      if (failure) throw failure;
      await writeTo(socket, buffers);
      bytesWritten += sizeOf(buffers);
    },
    async finish() {
      socket.end();
      await closed;
      if (failure) throw failure;
      return target;
    },
    async abandon() {
      socket.destroy();
      await closed;
    },
    get bytesWritten() {
      return bytesWritten;
    },
  };
};

/** Standard output is not ours to close. */
const stdoutOutput = (): Output => {
  let bytesWritten = 0;
  return {
    async write(buffers) {
      await writeTo(process.stdout, buffers);
      bytesWritten += sizeOf(buffers);
    },
    finish: () => Promise.resolve('-'),
    abandon: () => Promise.resolve(),
    get bytesWritten() {
      return bytesWritten;
    },
  };
};

/** Writes to a stream; resolves when the system has taken the last buffer. */
const writeTo = (stream: NodeJS.WriteStream | net.Socket, buffers: readonly Buffer[]) =>
  new Promise<void>((resolve, reject) => {
    if (buffers.length === 0) {
      resolve();
      return;
    }
    // the callback reports errors; without a listener, they would also end the process
    const ignore = (): void => undefined;
    stream.once('error', ignore);
    stream.cork();
    buffers.forEach((buffer, i) => {
      const last = i === buffers.length - 1;
      stream.write(buffer, error => {
        if (error) reject(error);
        // a destroyed socket reports a write in progress as done
        else if (stream.destroyed) reject(new Error('output was given up'));
        else if (last) {
          stream.removeListener('error', ignore);
          resolve();
        }
      });
    });
    stream.uncork();
  });
