/** Whether several paths lead to one file: by `./`, through links, or because they are equal. */
import fs from 'node:fs';
import path from 'node:path';
import { RafsError } from '../../lib/errors.js';

/** A file by the name of what it is for, such as an option. */
export interface NamedFile {
  name: string;
  path: string;
}

/**
 * Fails with USAGE if something is to be written to a file that is also written for something else,
 * or read. Terminals, sockets and devices such as /dev/null may be named more than once.
 */
export const refuseSameFile = (
  outputs: readonly NamedFile[],
  inputs: readonly NamedFile[] = [],
): void => {
  const written = new Map<string, string>(); // names by file
  for (const { name, path: file } of outputs) {
    const identity = identityOf(file === '-' ? '/dev/stdout' : file);
    if (identity === undefined) continue;
    const other = written.get(identity);
    if (other !== undefined) throw same(`${other} and ${name} are`, file);
    written.set(identity, name);
  }
  for (const { name, path: file } of inputs) {
    const identity = identityOf(file === '-' ? '/dev/stdin' : file);
    const other = identity === undefined ? undefined : written.get(identity);
    if (other !== undefined)
      throw same(`${name} is read and ${other} is written, but they are`, file);
  }
};

const same = (what: string, file: string): RafsError =>
  new RafsError('USAGE', `${what} the same file`, { file });

/** A text that stands for the file; undefined if it is none, or may serve several purposes. */
const identityOf = (file: string): string | undefined => {
  try {
    const stat = fs.statSync(file, { bigint: true, throwIfNoEntry: false });
    if (!stat) return `path ${newPath(file)}`;
    if (stat.isDirectory() || stat.isCharacterDevice() || stat.isSocket()) return undefined;
    return `inode ${stat.dev} ${stat.ino}`;
  } catch {
    return undefined; // whoever opens it says what is wrong
  }
};

/** The real path of a file, whether it is there or not: symlinks to nothing are followed, too. */
export const newPath = (file: string): string => {
  let end = path.resolve(file);
  // the kernel follows as many
  for (let followed = 0; followed < 40; followed++) {
    const at = path.join(realFolder(path.dirname(end)), path.basename(end));
    const link = linkOf(at);
    if (link === undefined) return at;
    end = path.resolve(path.dirname(at), link);
  }
  return end;
};

const realFolder = (folder: string): string => {
  try {
    return fs.realpathSync(folder);
  } catch {
    return folder; // nothing can be made there
  }
};

const linkOf = (file: string): string | undefined => {
  try {
    return fs.readlinkSync(file);
  } catch {
    return undefined;
  }
};
