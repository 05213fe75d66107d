/** Makes sure that files and their names are on the disk, and not only in the system's memory. */
import fs from 'node:fs';
import { promisify } from 'node:util';

export const fsync = promisify(fs.fsync);
const open = promisify(fs.open);
const close = promisify(fs.close);

/** Some file systems cannot flush a directory, and some directories may be written but not read. */
const CANNOT = new Set(['EINVAL', 'ENOTSUP', 'EACCES', 'EPERM', 'EISDIR', 'EBADF']);

const unlessImpossible = (error: unknown): void => {
  if (!CANNOT.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
};

/** The names in a directory. Fails with the system's error. */
export const flushDirectory = async (directory: string): Promise<void> => {
  try {
    const fd = await open(directory, 'r');
    await fsync(fd).finally(() => close(fd));
  } catch (error) {
    unlessImpossible(error);
  }
};

export const flushDirectorySync = (directory: string): void => {
  try {
    const fd = fs.openSync(directory, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    unlessImpossible(error);
  }
};
