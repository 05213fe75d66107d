/** The children of every directory of a tree, in the order in which an image lists them. */
import { Column } from '../memory/columns.js';
import type { Tree } from './tree.js';

/** By row of the directory: where its children start in `children`, and how many there are. */
export interface SortedChildren {
  readonly children: Uint32Array;
  readonly childStart: Uint32Array;
  readonly childCount: Uint32Array;
}

/** Children of every directory in byte order of their names, one directory after another. */
export const sortChildren = (tree: Tree): SortedChildren => {
  const childStart = new Uint32Array(tree.count);
  const childCount = new Uint32Array(tree.count);
  const children = new Column(Uint32Array, tree.count);
  const stack = [tree.root];
  const rows: number[] = [];
  while (stack.length > 0) {
    const directory = stack.pop()!;
    rows.length = 0;
    tree.childrenInto(rows, directory);
    rows.reverse(); // oldest first: most sources come nearly sorted
    rows.sort((a, b) => tree.compareNames(a, b));
    childStart[directory] = children.length;
    childCount[directory] = rows.length;
    for (const row of rows) {
      children.push(row);
      if (tree.isType(row, 'directory')) stack.push(row);
    }
  }
  return { children: children.data, childStart, childCount };
};

/**
 * All rows in the order in which images list them: the root, the children of a directory, then
 * each directory in it.
 */
export function* inOrder(tree: Tree): Iterable<number> {
  const { children, childStart, childCount } = sortChildren(tree);
  yield 0;
  const stack = [0];
  for (let directory = stack.pop(); directory !== undefined; directory = stack.pop()) {
    const start = childStart[directory]!;
    const end = start + childCount[directory]!;
    for (let i = start; i < end; i++) yield children[i]!;
    for (let i = end - 1; i >= start; i--) {
      if (tree.isType(children[i]!, 'directory')) stack.push(children[i]!);
    }
  }
}
