/** Names for files that are not complete yet, or should never be found. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';

const random = (): string => randomBytes(8).toString('hex').slice(0, 8);

/** How all names begin that this process makes. */
const PREFIX = `.rafs-stream-${random()}`;

/** An unused path in a directory: hidden, and with the program's name in it. */
export const temporaryName = (directory: string): string =>
  path.join(directory, `${PREFIX}${random()}`);

/** Whether this process has made the name of a file. */
export const isOwnTemporary = (name: string): boolean => name.startsWith(PREFIX);
