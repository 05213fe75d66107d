/** Outputs that are files, which have their final name when they are complete. */

import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { flushDirectory, fsync } from '../files/flush.js';
import { removeLeftovers } from '../files/leftovers.js';
import { temporaryName } from '../files/temporary-name.js';
import { without, type Output } from './output.js';
import { RafsError } from '../../lib/errors.js';
import { isFileName } from '../../lib/model/names.js';

export const open = promisify(fs.open);
const close = promisify(fs.close);
const ftruncate = promisify(fs.ftruncate);
const fchmod = promisify(fs.fchmod);
const rename = promisify(fs.rename);
const unlink = promisify(fs.unlink);
const readlink = promisify(fs.readlink);

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

export const statOf = (target: string): Promise<fs.Stats | undefined> =>
  promisify(fs.stat)(target).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });

/** Where a path to nothing would create a file: symlinks are followed, not replaced. */
export const linkEnd = async (target: string): Promise<string> => {
  let end = target;
  // the kernel follows 40, too; it has just reported ENOENT and not ELOOP
  for (let followed = 0; followed < 40; followed++) {
    const link = await readlink(end).catch(() => undefined);
    if (link === undefined) break;
    end = path.resolve(path.dirname(end), link);
  }
  return end;
};

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

  /** Completes the file after the write in progress, and has it on the disk. */
  async flush(): Promise<void> {
    await this.#writing;
    await this.#fill();
    if (this.#fd !== undefined) await fsync(this.#fd);
  }

  async chmod(mode: number): Promise<void> {
    if (this.#fd !== undefined) await fchmod(this.#fd, mode);
  }

  /** Closes the file after the write in progress; fails if the system still reports an error. */
  async close(): Promise<void> {
    await this.#writing.catch(() => undefined); // the writer knows of its failure
    const fd = this.#fd;
    if (fd === undefined) return;
    try {
      await this.#fill();
    } finally {
      this.#fd = undefined;
      await close(fd);
    }
  }

  async #fill(): Promise<void> {
    if (this.#hole && this.#fd !== undefined) await ftruncate(this.#fd, this.bytesWritten);
    this.#hole = false;
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

/** Of files that are not complete. */
const PRIVATE = 0o600;

interface FileOptions {
  /** permissions of the complete file */
  mode: number;
  /** have it on the disk before it gets its name */
  fsync: boolean;
}

/** Permissions that are given to a new file, less what the user has ruled out. */
const masked = (mode: number): number => mode & ~process.umask(); // eslint-disable-line @typescript-eslint/no-deprecated

/** A file with a random name, which is either renamed or removed in the end. */
class TemporaryFile {
  readonly #temporary: string;
  readonly #options: FileOptions;
  #mode: number;
  #file: OpenFile;
  #flushed = false;
  #done = false;

  constructor(temporary: string, fd: number, options: FileOptions) {
    this.#temporary = temporary;
    this.#file = new OpenFile(fd);
    this.#options = options;
    this.#mode = options.mode;
  }

  static async create(directory: string, options: FileOptions): Promise<TemporaryFile> {
    await removeLeftovers(directory);
    const temporary = temporaryName(directory);
    live.add(temporary);
    try {
      // nobody else has it open when it turns out to hold a secret
      return new TemporaryFile(temporary, await open(temporary, 'wx', PRIVATE), options);
    } catch (error) {
      live.delete(temporary);
      throw error;
    }
  }

  get bytesWritten(): number {
    return this.#file.bytesWritten;
  }

  async write(buffers: readonly Buffer[]): Promise<void> {
    this.#flushed = false;
    try {
      await this.#file.write(buffers);
    } catch (error) {
      await this.abandon(); // so that a full disk does not stay full
      throw error;
    }
  }

  hole(size: number): void {
    this.#flushed = false;
    this.#file.hole(size);
  }

  restrict(): void {
    this.#mode &= PRIVATE;
  }

  async flush(): Promise<void> {
    if (this.#flushed || !this.#options.fsync) return;
    await this.#file.flush();
    this.#flushed = true;
  }

  async rename(to: string): Promise<string> {
    try {
      if (this.#mode !== PRIVATE) await this.#file.chmod(this.#mode);
      await this.flush();
      await this.#file.close();
      await rename(this.#temporary, to);
    } catch (error) {
      await this.abandon();
      throw error;
    }
    this.#done = true;
    live.delete(this.#temporary);
    if (this.#options.fsync) await flushDirectory(path.dirname(to));
    return to;
  }

  async abandon(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    await this.#file.close().catch(() => undefined); // its data are no longer wanted
    await unlink(this.#temporary).catch(() => undefined); // abandonAll may have removed it
    live.delete(this.#temporary);
  }
}

/** A new file. */
export const temporaryOutput = async (target: string, options: FileOptions): Promise<Output> => {
  const mode = masked(options.mode);
  return namedOutput(target, { ...options, mode });
};

/** A file that replaces another takes over its permissions, unless `mode` says otherwise. */
export const replacingOutput = (
  target: string,
  { mode, before, fsync }: { mode: number | undefined; before: number; fsync: boolean },
): Promise<Output> =>
  namedOutput(target, { mode: mode === undefined ? before : masked(mode), fsync });

const namedOutput = async (target: string, options: FileOptions): Promise<Output> => {
  const file = await TemporaryFile.create(path.dirname(target), options);
  return Object.assign(outputOf(file), {
    finish: () => file.rename(target),
    hole: (size: number) => file.hole(size),
  });
};

export const namedLaterOutput = async (
  directory: string,
  { mode, fsync }: FileOptions,
): Promise<Output> => {
  const file = await TemporaryFile.create(directory, { mode: masked(mode), fsync });
  return Object.assign(outputOf(file), {
    async finish(name?: string) {
      if (name === undefined) return file.abandon().then(() => undefined);
      if (!isFileName(name)) {
        await file.abandon();
        throw new RafsError('USAGE', `invalid file name '${name}'`);
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
  flush: () => file.flush(),
  restrict: () => file.restrict(),
  abandon: () => file.abandon(),
  get bytesWritten() {
    return file.bytesWritten;
  },
});

export const inPlaceOutput = (fd: number, target: string): Output => {
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
