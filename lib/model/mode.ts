/** Modes of inodes, as in stat(2): their upper bits tell the type. */
import type { EntryType } from './entry.js';
import type { InodeType } from './stored.js';

/** The bits of the type. */
export const S_IFMT = 0o170000;

export const MODE_OF_TYPE: Readonly<Record<EntryType, number>> = {
  file: 0o100000,
  hardlink: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
  socket: 0o140000,
};

const TYPES: (InodeType | undefined)[] = Array<InodeType | undefined>(16).fill(undefined);
for (const type of ['file', 'directory', 'symlink', 'char', 'block', 'fifo', 'socket'] as const) {
  TYPES[MODE_OF_TYPE[type] >> 12] = type;
}

/** The type that a mode tells; undefined if there is no such type. */
export const typeOfMode = (mode: number): InodeType | undefined => TYPES[(mode & S_IFMT) >> 12];
