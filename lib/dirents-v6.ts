/**
 * Data of a v6 directory: blocks of entry heads followed by their names. '.' and '..' are sorted
 * among the children, so that names below '.' in byte order come before them.
 */
import { Dirent, FileType } from './layout/v6.js';
import { S_IFMT, type Tree } from './tree.js';

const DOT = -1;
const DOT_DOT = -2;

/** Rows of a directory's entries in their order; DOT and DOT_DOT stand for '.' and '..'. */
function* entries(tree: Tree, children: Uint32Array): Iterable<number> {
  const pending = [DOT, DOT_DOT];
  for (const row of children) {
    while (pending.length > 0 && above(tree.nameBytes(row), pending[0]!)) yield pending.shift()!;
    yield row;
  }
  yield* pending;
}

/** Whether a name is above '.' or '..'. */
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

const FILE_TYPES = new Map([
  [0o100000, FileType.FILE],
  [0o040000, FileType.DIRECTORY],
  [0o020000, FileType.CHAR],
  [0o060000, FileType.BLOCK],
  [0o010000, FileType.FIFO],
  [0o140000, FileType.SOCKET],
  [0o120000, FileType.SYMLINK],
]);

/** The data, of the size that `direntsSize` gives. */
export const encodeDirents = (
  tree: Tree,
  directory: number,
  children: Uint32Array,
  blockSize: number,
  size: number,
  nidOf: (row: number) => number,
): Buffer => {
  const data = Buffer.alloc(size);
  let block: number[] = [];
  let used = 0;
  let start = 0;
  const flush = (): void => {
    let nameAt = block.length * Dirent.size;
    block.forEach((entry, i) => {
      const row =
        entry === DOT ? directory : entry === DOT_DOT ? tree.parent.get(directory) : entry;
      Dirent.encodeInto(data, start + i * Dirent.size, {
        nid: nidOf(row),
        nameOffset: nameAt,
        fileType: FILE_TYPES.get(tree.mode.get(row) & S_IFMT)!,
      });
      const length = nameSize(tree, entry);
      if (entry < 0) data.fill('.', start + nameAt, start + nameAt + length);
      else tree.nameBytes(entry).copy(data, start + nameAt);
      nameAt += length;
    });
    start += blockSize;
    block = [];
    used = 0;
  };
  for (const row of entries(tree, children)) {
    const length = Dirent.size + nameSize(tree, row);
    if (used + length > blockSize) flush();
    block.push(row);
    used += length;
  }
  flush();
  return data;
};
