/**
 * Data of a v6 directory: blocks of entry heads followed by their names. '.' and '..' are sorted
 * among the children, so that names below '.' in byte order come before them.
 */
import { Dirent, FileType } from '../../layout/rafs-v6.js';
import type { Tree } from '../../tree/tree.js';

const DOT = -1;
const DOT_DOT = -2;

/** Rows of a directory's entries in their order; DOT and DOT_DOT stand for '.' and '..'. */
const entries = (tree: Tree, children: Uint32Array): Int32Array => {
  const rows = new Int32Array(children.length + 2);
  const pending = [DOT, DOT_DOT];
  let count = 0;
  for (const row of children) {
    while (pending.length > 0 && above(tree.nameBytes(row), pending[0]!)) {
      rows[count++] = pending.shift()!;
    }
    rows[count++] = row;
  }
  for (const dots of pending) rows[count++] = dots;
  return rows;
};

/** Whether a name comes after '.' or '..' in byte order. */
const above = (name: Buffer, dots: number): boolean => {
  for (let i = 0; i < -dots; i++) {
    if (i === name.length) return false;
    if (name[i] !== 0x2e) return name[i]! > 0x2e;
  }
  return name.length > -dots;
};

const nameSize = (tree: Tree, row: number): number => (row < 0 ? -row : tree.nameSize(row));

/** Bytes of a directory's data: whole blocks, and the used part of the last. */
export const direntsSize = (tree: Tree, children: Uint32Array, blockSize: number): number => {
  let blocks = 1;
  let used = 0;
  for (const row of entries(tree, children)) {
    const size = Dirent.size + nameSize(tree, row);
    if (used + size > blockSize) {
      blocks++;
      used = 0;
    }
    used += size;
  }
  return (blocks - 1) * blockSize + used;
};

/** By the type bits of a mode. */
const FILE_TYPES: Readonly<Record<number, number>> = {
  0o10: FileType.FILE,
  0o04: FileType.DIRECTORY,
  0o02: FileType.CHAR,
  0o06: FileType.BLOCK,
  0o01: FileType.FIFO,
  0o14: FileType.SOCKET,
  0o12: FileType.SYMLINK,
};

/** The data of a directory; `size` is what `direntsSize` gives. */
export const encodeDirents = (
  tree: Tree,
  directory: number,
  children: Uint32Array,
  blockSize: number,
  size: number,
  nidOf: (row: number) => number,
): Buffer => {
  const data = Buffer.alloc(size);
  const rows = entries(tree, children);
  /** Writes the block at `start`, with the entries from `from` to before `to`. */
  const block = (start: number, from: number, to: number): void => {
    let nameOffset = (to - from) * Dirent.size;
    for (let i = from; i < to; i++) {
      const entry = rows[i]!;
      const row =
        entry === DOT ? directory : entry === DOT_DOT ? tree.parent.get(directory) : entry;
      Dirent.encodeInto(data, start + (i - from) * Dirent.size, {
        nid: nidOf(row),
        nameOffset,
        fileType: FILE_TYPES[tree.mode.get(row) >> 12]!, // every mode has one of these
      });
      if (entry < 0) data.fill('.', start + nameOffset, start + nameOffset - entry);
      else tree.copyName(entry, data, start + nameOffset);
      nameOffset += nameSize(tree, entry);
    }
  };
  let start = 0;
  let from = 0;
  let used = 0;
  for (let i = 0; i < rows.length; i++) {
    const length = Dirent.size + nameSize(tree, rows[i]!);
    if (used + length > blockSize) {
      block(start, from, i);
      start += blockSize;
      from = i;
      used = 0;
    }
    used += length;
  }
  block(start, from, rows.length);
  return data;
};
