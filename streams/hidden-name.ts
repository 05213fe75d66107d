/** Names for what is being made, and is not to be found. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';

/** A path in a directory that nothing has: hidden, and it says whose it is. */
export const hiddenName = (directory: string): string =>
  path.join(directory, `.rafs-stream-${randomBytes(8).toString('hex')}`);
