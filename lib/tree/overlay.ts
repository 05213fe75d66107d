/**
 * Lays the tree of an upper layer over that of the layers below. Both are in the same columns, each
 * with a root of its own; rows are moved, not copied.
 *
 * Whiteouts act on the layers below, whatever else the upper layer has under that name. They are
 * never in the result, even if there was nothing to delete.
 */
import type { EntryType } from '../model/entry.js';
import { MODE_OF_TYPE, S_IFMT, type Tree } from './tree.js';
import { OVERLAYFS_OPAQUE, whiteoutOf, whiteoutTarget, type Whiteout } from '../layer/whiteout.js';
import type { WhiteoutSpec } from '../layer/whiteout.js';

/**
 * Afterwards the tree at `lower` is the result, and paths begin there; nothing is left at `upper`.
 * Directories that both have keep the children of both and get the attributes of the upper one.
 */
export const applyLayer = (tree: Tree, lower: number, upper: number, spec: WhiteoutSpec): void => {
  const pending: [lower: number, upper: number][] = [[lower, upper]];
  for (let next = pending.pop(); next; next = pending.pop()) {
    pending.push(...layDirectory(tree, next[0], next[1], spec));
  }
  tree.enter(lower);
};

/** Lays one directory over another; returns the pairs of subdirectories that both of them have. */
const layDirectory = (
  tree: Tree,
  lower: number,
  upper: number,
  spec: WhiteoutSpec,
): [lower: number, upper: number][] => {
  const common: [number, number][] = [];
  const { kept, removed, opaque } = sift(tree, upper, spec);
  const gone = new Set<number>();
  if (opaque) tree.clear(lower);
  for (const name of removed) {
    const row = tree.child(lower, name);
    if (row >= 0) gone.add(row);
  }
  const moved: number[] = [];
  for (const { row, opaque } of kept) {
    const below = tree.child(lower, tree.name(row));
    const both =
      below >= 0 &&
      !gone.has(below) &&
      !opaque &&
      tree.isType(row, 'directory') &&
      tree.isType(below, 'directory');
    if (both) {
      common.push([below, row]);
      continue;
    }
    if (below >= 0) gone.add(below);
    moved.push(row);
    if (tree.isType(row, 'directory')) dropWhiteouts(tree, row, spec);
  }
  tree.copyAttributes(upper, lower);
  tree.dropChildren(lower, gone);
  tree.moveChildren(upper, moved, lower);
  return common;
};

interface Sifted {
  /** children that are not whiteouts; an opaque one hides the directory below it */
  kept: { row: number; opaque: boolean }[];
  /** names that whiteouts delete */
  removed: string[];
  /** everything in the directory below is hidden */
  opaque: boolean;
}

/** Sorts the children of a directory into whiteouts and others. */
const sift = (tree: Tree, directory: number, spec: WhiteoutSpec): Sifted => {
  const sifted: Sifted = { kept: [], removed: [], opaque: false };
  const rows: number[] = [];
  tree.childrenInto(rows, directory);
  for (const row of rows) {
    const whiteout = whiteoutAt(tree, row, spec);
    if (whiteout === undefined) {
      sifted.kept.push({ row, opaque: false });
    } else if (spec === 'overlayfs' && whiteout === 'opaque') {
      tree.removeXattr(row, OVERLAYFS_OPAQUE); // the directory itself stays
      sifted.kept.push({ row, opaque: true });
    } else if (whiteout === 'opaque') {
      sifted.opaque = true;
    } else {
      sifted.removed.push(whiteoutTarget(spec, { path: tree.name(row) }));
    }
  }
  return sifted;
};

/** Removes all whiteouts from a directory that has no counterpart below. */
const dropWhiteouts = (tree: Tree, directory: number, spec: WhiteoutSpec): void => {
  if (spec === 'none') return;
  const pending = [directory];
  const rows: number[] = [];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    rows.length = 0;
    tree.childrenInto(rows, at);
    const gone = new Set<number>();
    for (const row of rows) {
      const whiteout = whiteoutAt(tree, row, spec);
      if (whiteout !== undefined && !(spec === 'overlayfs' && whiteout === 'opaque')) {
        gone.add(row);
        continue;
      }
      if (whiteout) tree.removeXattr(row, OVERLAYFS_OPAQUE);
      if (tree.isType(row, 'directory')) pending.push(row);
    }
    tree.dropChildren(at, gone);
  }
};

const whiteoutAt = (tree: Tree, row: number, spec: WhiteoutSpec): Whiteout | undefined => {
  if (spec === 'none') return undefined;
  const xattrs = tree.xattrSets[tree.xattrs.get(row)];
  return whiteoutOf(spec, {
    path: spec === 'oci' ? tree.name(row) : '',
    type: typeOf(tree, row),
    rdev: tree.rdev.get(row),
    ...(xattrs ? { xattrs } : {}),
  });
};

const TYPES = new Map<number, EntryType>(
  (['file', 'directory', 'symlink', 'char', 'block', 'fifo', 'socket'] as const).map(type => [
    MODE_OF_TYPE[type],
    type,
  ]),
);

const typeOf = (tree: Tree, row: number): EntryType =>
  TYPES.get(tree.mode.get(row) & S_IFMT) ?? 'file';
