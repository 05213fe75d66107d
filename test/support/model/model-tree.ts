/** The rules of a layer's tree, written down as objects and maps: slow and plain to see. */
import type { Entry, EntryType } from '../../../lib/model/entry.js';

/** What all names of one file share. */
export interface ModelContent {
  size: number;
  target: string | undefined;
  xattrs: ReadonlyMap<string, Buffer>;
  /** whatever the test hangs onto it */
  chunks: unknown[];
}

export interface ModelNode {
  name: string;
  parent: ModelNode | undefined;
  type: Exclude<EntryType, 'hardlink'>;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNsec: number;
  rdev: number;
  content: ModelContent;
  /** nothing describes it */
  implied: boolean;
  children: Map<string, ModelNode>;
}

const contentOf = (entry?: Entry): ModelContent => ({
  size: entry ? (entry.target?.length ?? entry.size) : 0,
  target: entry?.target,
  xattrs: entry?.xattrs ?? new Map(),
  chunks: [],
});

const directory = (name: string, parent?: ModelNode): ModelNode => ({
  name,
  parent,
  type: 'directory',
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: 0,
  mtimeNsec: 0,
  rdev: 0xffffffff,
  content: contentOf(),
  implied: true,
  children: new Map(),
});

export class ModelTree {
  readonly root = directory('');

  find(path: string): ModelNode | undefined {
    let node: ModelNode | undefined = this.root;
    for (const name of path === '' ? [] : path.split('/')) node = node?.children.get(name);
    return node;
  }

  /**
   * The node of the entry, or what is wrong with it; that it is below a symlink is left to tests of
   * its own.
   */
  insert(entry: Entry): ModelNode | 'CORRUPT' | 'SYMLINK' {
    let content = contentOf(entry);
    let target: ModelNode | undefined;
    if (entry.type === 'hardlink') {
      if (this.#isBelowSymlink(entry.target!)) return 'SYMLINK';
      target = this.find(entry.target!);
      if (!target || target.type === 'directory') return 'CORRUPT';
      content = target.content;
    }
    if (this.#isBelowSymlink(entry.path)) return 'SYMLINK';
    const names = entry.path.split('/');
    const last = names.pop()!;
    let parent = this.root;
    for (const name of names) {
      let next = parent.children.get(name);
      if (!next) {
        next = directory(name, parent);
        parent.children.set(name, next);
      }
      if (next.type !== 'directory') return 'CORRUPT';
      parent = next;
    }
    let node = entry.path === '' ? this.root : parent.children.get(last);
    if (node === this.root && entry.type !== 'directory') return 'CORRUPT';
    if (!node) {
      node = directory(last, parent);
      parent.children.set(last, node);
    }
    if (entry.type !== 'directory') node.children.clear();
    node.implied = false;
    node.content = content;
    node.rdev = target?.rdev ?? entry.rdev;
    node.type = target?.type ?? (entry.type as ModelNode['type']); // only hardlinks have targets
    const mode = target?.type === 'symlink' ? target.mode : entry.mode;
    const { uid, gid, mtime, mtimeNsec } = entry;
    // what a hardlink says is said of all names
    if (target) content.xattrs = new Map([...content.xattrs, ...(entry.xattrs ?? [])]);
    for (const [, name] of target ? this.all() : []) {
      if (name.content === content) Object.assign(name, { mode, uid, gid, mtime, mtimeNsec });
    }
    return Object.assign(node, { mode, uid, gid, mtime, mtimeNsec });
  }

  #isBelowSymlink(path: string): boolean {
    let node: ModelNode | undefined = this.root;
    for (const name of path.split('/')) {
      if (node?.type === 'symlink') return true;
      node = node?.children.get(name);
    }
    return false;
  }

  remove(path: string): void {
    const node = this.find(path)!;
    node.parent!.children.delete(node.name);
  }

  /** All nodes with their paths, a directory before what is in it. */
  *all(node: ModelNode = this.root, path = ''): Iterable<[path: string, node: ModelNode]> {
    yield [path, node];
    for (const child of node.children.values()) {
      yield* this.all(child, path === '' ? child.name : `${path}/${child.name}`);
    }
  }
}
