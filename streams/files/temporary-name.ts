/** Names for files that are not complete yet, or should never be found. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { ownMark, parseMark, type ProcessMark } from './process-mark.js';

const PREFIX = '.rafs-stream-';

/** An unused path in a directory: hidden, with the program's name in it and who made it. */
export const temporaryName = (directory: string): string =>
  path.join(directory, `${PREFIX}${ownMark()}-${randomBytes(6).toString('hex')}`);

/** Who made a file, by its name; undefined if the name is none of ours. */
export const makerOf = (name: string): ProcessMark | undefined =>
  name.startsWith(PREFIX) && /-[0-9a-f]{12}$/.test(name)
    ? parseMark(name.slice(PREFIX.length, -13))
    : undefined;

/** Whether this process has made the name of a file. */
export const isOwnTemporary = (name: string): boolean => name.startsWith(`${PREFIX}${ownMark()}-`);
