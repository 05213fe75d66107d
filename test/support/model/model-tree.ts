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
  children: new Map(),
});

export class ModelTree {
  readonly root = directory('');

  find(path: string): ModelNode | undefined {
    let node: ModelNode | undefined = this.root;
    for (const name of path === '' ? [] : path.split('/')) node = node?.children.get(name);
    return node;
  }

  /** The node of the entry, or what is wrong with it. */
  insert(entry: Entry): ModelNode | 'CORRUPT' {
    let content = contentOf(entry);
    if (entry.type === 'hardlink') {
      const target = this.find(entry.target!);
      if (target?.type !== 'file') return 'CORRUPT';
      content = target.content;
    }
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
    node.type = entry.type === 'hardlink' ? 'file' : entry.type;
    node.mode = entry.mode;
    node.uid = entry.uid;
    node.gid = entry.gid;
    node.mtime = entry.mtime;
    node.mtimeNsec = entry.mtimeNsec;
    node.rdev = entry.rdev;
    node.content = content;
    return node;
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
