/**
 * Lays the tree of an upper layer over that of the layers below. Both are in the same columns, each
 * with a root of its own; rows are moved, not copied.
 *
 * Whiteouts act on the layers below, whatever else the upper layer has under that name. They are
 * never in the result, even if there was nothing to delete.
 *
 * A directory that the upper layer only implies says nothing of its own: one that is below stays as
 * it is, and a symlink that is below is followed.
 */
import type { EntryType } from '../model/entry.js';
import { typeOfMode } from '../model/mode.js';
import type { Tree } from './tree.js';
import { NOTHING } from './ways.js';
import { OVERLAYFS_OPAQUE, whiteoutOf, whiteoutTarget, type Whiteout } from '../layer/whiteout.js';
import type { WhiteoutSpec } from '../layer/whiteout.js';

/**
 * Afterwards the tree at `lower` is the result, and paths begin there; nothing is left at `upper`.
 * Directories that both have keep the children of both and get the attributes of the upper one.
 * CORRUPT if entries lie below a symlink to something else than a directory.
 */
export const applyLayer = (tree: Tree, lower: number, upper: number, spec: WhiteoutSpec): void => {
  tree.enter(lower);
  applyWhiteouts(tree, lower, upper, spec);
  const through: Through[] = [];
  layDirectories(tree, lower, upper, through);
  // after all else, since that may change where symlinks lead
  for (let next = through.shift(); next; next = through.shift()) {
    if (tree.hasChildren(next.row)) {
      layDirectories(tree, tree.directoryAt(next.path), next.row, through);
      continue;
    }
    // it had only whiteouts, of what was not there
    const { row, obstacle } = tree.follow(next.path, { end: true });
    if (row === NOTHING && obstacle === undefined) tree.directoryAt(next.path);
  }
  tree.enter(lower);
};

/** Takes the whiteouts out of a layer that has none below it. */
export const dropWhiteouts = (tree: Tree, root: number, spec: WhiteoutSpec): void =>
  applyWhiteouts(tree, NOTHING, root, spec);

/** A directory of the upper layer, with a path through a symlink of the layers below. */
interface Through {
  row: number;
  path: string;
}

type Pair = [lower: number, upper: number];

/**
 * Deletes what the whiteouts of the upper layer name below, and takes them out of it, with the
 * directories that were only implied by whiteouts and are below.
 */
const applyWhiteouts = (tree: Tree, lower: number, upper: number, spec: WhiteoutSpec): void => {
  if (spec === 'none') return;
  const pending: Pair[] = [[lower, upper]];
  const implied: { directory: number; children: number[] }[] = [];
  const rows: number[] = [];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const [below, directory] = next;
    const whiteouts = new Set<number>();
    const gone = new Set<number>();
    rows.length = 0;
    tree.childrenInto(rows, directory);
    for (const row of rows) {
      const whiteout = whiteoutAt(tree, row, spec);
      if (whiteout === undefined) continue;
      const isDirectory = spec === 'overlayfs' && whiteout === 'opaque';
      if (isDirectory)
        tree.removeXattr(row, OVERLAYFS_OPAQUE); // the directory itself stays
      else whiteouts.add(row);
      if (below === NOTHING) continue;
      if (whiteout === 'opaque' && !isDirectory) tree.clear(below);
      else gone.add(tree.child(below, whiteoutTarget(spec, { path: tree.name(row) })));
    }
    if (below !== NOTHING) {
      gone.delete(NOTHING);
      tree.dropChildren(below, gone);
    }
    tree.dropChildren(directory, whiteouts);
    const children: number[] = [];
    for (const row of rows) {
      if (whiteouts.has(row) || !tree.isType(row, 'directory')) continue;
      const there = counterpart(tree, below, row);
      if (there !== NOTHING && tree.implied.get(row) === 1) children.push(row);
      pending.push([there, row]);
    }
    if (children.length > 0) implied.push({ directory, children });
  }
  for (const { directory, children } of implied.reverse()) {
    tree.dropChildren(directory, new Set(children.filter(row => !tree.hasChildren(row))));
  }
};

/** The directory below that a directory of the upper layer is laid over, if there is one. */
const counterpart = (tree: Tree, below: number, row: number): number => {
  const child = below === NOTHING ? NOTHING : tree.child(below, tree.name(row));
  if (child === NOTHING || tree.isType(child, 'directory')) return child;
  if (!isFollowed(tree, child, row)) return NOTHING;
  const target = tree.follow(tree.path(child), { end: true }).row;
  return target !== NOTHING && tree.isType(target, 'directory') ? target : NOTHING;
};

const isFollowed = (tree: Tree, below: number, row: number): boolean =>
  tree.isType(below, 'symlink') && tree.implied.get(row) === 1;

const layDirectories = (tree: Tree, lower: number, upper: number, through: Through[]): void => {
  const pending: Pair[] = [[lower, upper]];
  for (let next = pending.pop(); next; next = pending.pop()) {
    pending.push(...layDirectory(tree, next[0], next[1], through));
  }
};

/** Lays one directory over another; returns the pairs of subdirectories that both of them have. */
const layDirectory = (tree: Tree, lower: number, upper: number, through: Through[]): Pair[] => {
  const common: Pair[] = [];
  const gone = new Set<number>();
  const moved: number[] = [];
  const rows: number[] = [];
  tree.childrenInto(rows, upper);
  for (const row of rows) {
    const below = tree.child(lower, tree.name(row));
    if (below !== NOTHING && tree.isType(row, 'directory')) {
      if (tree.isType(below, 'directory')) {
        common.push([below, row]);
        continue;
      }
      if (isFollowed(tree, below, row)) {
        through.push({ row, path: tree.path(below) });
        continue;
      }
    }
    if (below !== NOTHING) gone.add(below);
    moved.push(row);
  }
  if (tree.implied.get(upper) === 0) tree.copyAttributes(upper, lower);
  tree.dropChildren(lower, gone);
  tree.moveChildren(upper, moved, lower);
  return common;
};

const whiteoutAt = (tree: Tree, row: number, spec: WhiteoutSpec): Whiteout | undefined => {
  const xattrs = tree.xattrSets[tree.xattrs.get(row)];
  return whiteoutOf(spec, {
    path: spec === 'oci' ? tree.name(row) : '',
    type: typeOf(tree, row),
    rdev: tree.rdev.get(row),
    ...(xattrs ? { xattrs } : {}),
  });
};

const typeOf = (tree: Tree, row: number): EntryType => typeOfMode(tree.mode.get(row)) ?? 'file';
