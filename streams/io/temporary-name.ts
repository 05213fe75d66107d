/** Names for files that are not complete yet, or should never be found. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';

/** An unused path in a directory: hidden, and with the program's name in it. */
export const temporaryName = (directory: string): string =>
  path.join(directory, `.rafs-stream-${randomBytes(8).toString('hex')}`);
