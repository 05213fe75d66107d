/**
 * The files of an image as a container sees them: layers laid over one another by the rules of
 * the image spec. Built from the layers' entries alone, so that it can judge what a merge made.
 */
import { whiteoutOf, whiteoutTarget } from '../layer/whiteout.js';
import type { Entry, EntryType } from '../model/entry.js';

/** One file-system object. Names of one file share one node. */
export interface TreeNode {
  type: Exclude<EntryType, 'hardlink'>;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  size: number;
  rdev: number;
  target: string;
  xattrs: ReadonlyMap<string, Buffer>;
  /** sha256 of the content of a file, in hex */
  digest: string;
  /** nobody said what it is like: a directory that only has a name */
  implied?: boolean;
}

/** Nodes by path, as in an Entry. */
export type ImageTree = Map<string, TreeNode>;

export const nodeOf = (entry: Entry): TreeNode => ({
  type: entry.type === 'hardlink' ? 'file' : entry.type,
  mode: entry.mode,
  uid: entry.uid,
  gid: entry.gid,
  mtime: entry.mtime,
  size: entry.size,
  rdev: entry.type === 'char' || entry.type === 'block' ? entry.rdev : 0,
  target: entry.type === 'symlink' ? (entry.target ?? '') : '',
  xattrs: entry.xattrs ?? new Map<string, Buffer>(),
  digest: '',
});

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

/** Lays one layer after another over a tree, the lowest first. */
export class TreeBuilder {
  readonly tree: ImageTree = new Map([['', impliedDirectory()]]);
  /** children by directory, so that a subtree is found without looking at everything */
  readonly #children = new Map<string, Set<string>>();
  /** paths of the current layer: its whiteouts leave them alone */
  #current = new Set<string>();

  beginLayer(): void {
    this.#current = new Set();
    // overlayfs shows the root of the topmost layer, which a snapshotter makes if no entry does
    this.tree.set('', impliedDirectory());
  }

  /** Adds an entry; returns its node if it has content to come. */
  add(entry: Entry): TreeNode | undefined {
    const { path } = entry;
    const whiteout = whiteoutOf('oci', entry);
    if (whiteout) {
      const target = whiteoutTarget('oci', entry);
      if (whiteout === 'removal') this.#removeLower(target);
      else for (const child of [...(this.#children.get(target) ?? [])]) this.#removeLower(child);
      return undefined;
    }
    if (entry.type === 'hardlink') {
      const node = this.tree.get(entry.target ?? '');
      if (!node || path === entry.target) return undefined;
      this.#remove(path);
      this.#set(path, node);
      return undefined;
    }
    const before = this.tree.get(path);
    const node = nodeOf(entry);
    // a directory over a directory keeps what is in it
    if (!(before?.type === 'directory' && node.type === 'directory')) this.#remove(path);
    this.#set(path, node);
    return node;
  }

  #set(path: string, node: TreeNode): void {
    this.tree.set(path, node);
    this.#current.add(path);
    for (let child = path; child !== ''; child = parentOf(child)) {
      const parent = parentOf(child);
      const found = this.tree.get(parent);
      if (found?.type !== 'directory') {
        this.tree.delete(parent);
        this.tree.set(parent, impliedDirectory());
      }
      this.#current.add(parent);
      const siblings = this.#children.get(parent);
      if (siblings?.has(child)) break;
      if (siblings) siblings.add(child);
      else this.#children.set(parent, new Set([child]));
    }
  }

  #remove(path: string): void {
    if (path === '') return;
    this.#removeBelow(path);
    this.tree.delete(path);
    this.#children.get(parentOf(path))?.delete(path);
  }

  #removeBelow(path: string): void {
    const stack = [...(this.#children.get(path) ?? [])];
    this.#children.delete(path);
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      this.tree.delete(next);
      stack.push(...(this.#children.get(next) ?? []));
      this.#children.delete(next);
    }
  }

  /** Removes what lower layers have at a path and below it. */
  #removeLower(path: string): void {
    if (!this.#current.has(path)) {
      this.#remove(path);
      return;
    }
    for (const child of [...(this.#children.get(path) ?? [])]) this.#removeLower(child);
  }
}

const impliedDirectory = (): TreeNode => ({
  type: 'directory',
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: 0,
  size: 0,
  rdev: 0,
  target: '',
  xattrs: new Map(),
  digest: '',
  implied: true,
});

/** What a difference is in. */
export type DifferenceKind =
  | 'missing'
  | 'extra'
  | 'type'
  | 'content'
  | 'size'
  | 'mode'
  | 'owner'
  | 'mtime'
  | 'xattr'
  | 'target'
  | 'link'
  | 'device';

export interface Difference {
  path: string;
  kind: DifferenceKind;
  /** what the first tree has, and the second */
  due: string;
  found: string;
}

/** All differences between two trees, in the order of paths. */
export function* differences(due: ImageTree, found: ImageTree): Generator<Difference> {
  const paths = [...new Set([...due.keys(), ...found.keys()])].sort();
  const firstNames = { due: new Map<TreeNode, string>(), found: new Map<TreeNode, string>() };
  for (const path of paths) {
    const a = due.get(path);
    const b = found.get(path);
    if (!a || !b) {
      const there = (a ?? b)!.type; // one of the trees has it
      if (a) yield { path, kind: 'missing', due: there, found: 'nothing' };
      else yield { path, kind: 'extra', due: 'nothing', found: there };
      continue;
    }
    if (a.type !== b.type) {
      yield { path, kind: 'type', due: a.type, found: b.type };
      continue;
    }
    const first = firstName(firstNames.due, a, path);
    const other = firstName(firstNames.found, b, path);
    if (first !== other) yield { path, kind: 'link', due: `/${first}`, found: `/${other}` };
    for (const [kind, x, y] of facts(a, b)) {
      if (x !== y) yield { path, kind, due: x, found: y };
    }
  }
}

const firstName = (names: Map<TreeNode, string>, node: TreeNode, path: string): string => {
  if (node.type === 'directory') return path;
  const known = names.get(node);
  if (known === undefined) names.set(node, path);
  return known ?? path;
};

function* facts(a: TreeNode, b: TreeNode): Generator<[DifferenceKind, string, string]> {
  if (a.type === 'file') {
    if (a.size !== b.size) yield ['size', String(a.size), String(b.size)];
    else yield ['content', a.digest, b.digest];
  }
  yield ['target', a.target, b.target];
  yield ['device', a.rdev.toString(16), b.rdev.toString(16)];
  if (a.implied || b.implied) return;
  // Linux has no permissions of symlinks
  if (a.type !== 'symlink') yield ['mode', a.mode.toString(8), b.mode.toString(8)];
  yield ['owner', `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`];
  yield ['mtime', String(a.mtime), String(b.mtime)];
  yield ['xattr', xattrText(a), xattrText(b)];
}

const xattrText = ({ xattrs }: TreeNode): string =>
  [...xattrs]
    .map(([name, value]) => `${name}=${value.toString('hex')}`)
    .sort()
    .join(' ');
