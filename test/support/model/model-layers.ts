/** Layers laid over each other path by path, in a flat map: slow and plain to see. */
import fc from 'fast-check';
import { MODE_OF_TYPE } from '../../../lib/model/mode.js';
import type { Tree } from '../../../lib/tree/tree.js';
import type { Entry, EntryType } from '../../../lib/model/entry.js';
import type { WhiteoutSpec } from '../../../lib/layer/whiteout.js';
import { ModelTree, type ModelNode } from './model-tree.js';

export type Flat = Map<string, ModelNode>;

const OPAQUE = 'trusted.overlay.opaque';

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const isBelow = (path: string, directory: string): boolean =>
  path !== directory && (directory === '' || path.startsWith(`${directory}/`));

/** What an object deletes of the layers below, and whether it stays itself. */
const deletes = (
  spec: WhiteoutSpec,
  path: string,
  node: ModelNode,
): { at?: string; below?: string; stays: boolean } => {
  const name = nameOf(path);
  if (spec === 'oci' && path !== '' && name.startsWith('.wh.')) {
    if (name === '.wh..wh..opq') return { below: parentOf(path), stays: false };
    const parent = parentOf(path);
    return { at: parent === '' ? name.slice(4) : `${parent}/${name.slice(4)}`, stays: false };
  }
  if (spec === 'overlayfs' && path !== '') {
    if (node.type === 'char' && node.rdev === 0) return { at: path, stays: false };
    if (node.type === 'directory' && node.content.xattrs.get(OPAQUE)?.toString() === 'y') {
      return { at: path, stays: true };
    }
  }
  return { stays: true };
};

/** What the layers are together, the lowest first; of that one all objects stay, with `keeps`. */
export const flatten = (
  layers: readonly ModelTree[],
  spec: WhiteoutSpec,
  { keeps = true } = {},
): Flat => {
  const result: Flat = new Map();
  for (const [n, layer] of layers.entries()) {
    if (n === 0 && keeps) {
      for (const [path, node] of layer.all()) result.set(path, node);
      continue;
    }
    const kept: [path: string, node: ModelNode][] = [];
    const lost: string[] = []; // whiteouts: what is below them goes with them
    for (const [path, node] of layer.all()) {
      if (lost.some(gone => isBelow(path, gone))) continue;
      const { at, below, stays } = deletes(spec, path, node);
      for (const other of [...result.keys()]) {
        if (at !== undefined && (other === at || isBelow(other, at))) result.delete(other);
        if (below !== undefined && isBelow(other, below)) result.delete(other);
      }
      if (!stays) lost.push(path);
      else if (at === undefined) kept.push([path, node]);
      else {
        const xattrs = new Map(node.content.xattrs);
        xattrs.delete(OPAQUE);
        kept.push([path, { ...node, content: { ...node.content, xattrs } }]);
      }
    }
    for (const [path, node] of kept) {
      const before = result.get(path);
      if (before && !(before.type === 'directory' && node.type === 'directory')) {
        for (const other of [...result.keys()]) if (isBelow(other, path)) result.delete(other);
      }
      if (node.implied && before?.type === 'directory') continue;
      result.set(path, node);
    }
  }
  return result;
};

/** Where the tree at row 0 is not what the map says, if anywhere. */
export const treeDifference = (tree: Tree, flat: Flat): string | undefined => {
  if (tree.root !== 0) return `paths begin at ${tree.root}`;
  const sources = new Map<unknown, number>();
  for (const [path, node] of flat) {
    const row = tree.find(path);
    if (row < 0) return `'${path}' is not found`;
    if (tree.path(row) !== path) return `path of '${path}' is '${tree.path(row)}'`;
    if (tree.mode.get(row) !== (MODE_OF_TYPE[node.type] | node.mode)) return `mode of '${path}'`;
    for (const key of ['uid', 'gid', 'mtime', 'mtimeNsec', 'rdev'] as const) {
      if (tree[key].get(row) !== node[key]) return `${key} of '${path}'`;
    }
    const xattrs = [...(tree.xattrSets[tree.xattrs.get(row)] ?? [])];
    const due = [...node.content.xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
    if (JSON.stringify(xattrs) !== JSON.stringify(due)) return `xattrs of '${path}'`;
    if (node.type === 'symlink' && tree.target(row) !== node.content.target) {
      return `target of '${path}'`;
    }
    if (node.type === 'file') {
      if (tree.size.get(row) !== node.content.size) return `size of '${path}'`;
      const source = sources.get(node.content);
      if (source !== undefined && tree.source.get(row) !== source) return `source of '${path}'`;
      sources.set(node.content, tree.source.get(row));
    }
    const children: number[] = [];
    if (node.type === 'directory') tree.childrenInto(children, row);
    const names = [...flat.keys()].filter(other => other !== '' && parentOf(other) === path);
    const found = children.map(child => tree.name(child)).sort();
    if (node.type === 'directory' && found.join('/') !== names.map(nameOf).sort().join('/')) {
      return `children of '${path}': ${found.join()}`;
    }
  }
  if (new Set(sources.values()).size !== sources.size) return 'a source number of two files';
  return undefined;
};

const NAMES = ['a', 'b', 'c', '\xff', '.wh.a', '.wh.b', '.wh.c', '.wh.\xff', '.wh..wh..opq'];

/**
 * Entries of a layer: few names, so that layers meet; whiteouts of both kinds, also as directories.
 * Nothing lies below a symlink.
 */
export const layerEntries: fc.Arbitrary<Entry[]> = fc.array(
  fc
    .record({
      path: fc
        .array(
          fc.oneof(
            { weight: 4, arbitrary: fc.constantFrom(...NAMES.slice(0, 4)) },
            { weight: 1, arbitrary: fc.constantFrom(...NAMES) },
          ),
          { maxLength: 4 },
        )
        .map(names => names.join('/')),
      type: fc.constantFrom<EntryType>(
        'file',
        'file',
        'directory',
        'directory',
        'directory',
        'symlink',
        'hardlink',
        'char',
        'fifo',
      ),
      target: fc.constantFrom('a', 'b', 'a/a', 'a/b', 'c/a'),
      mode: fc.nat(0o7777),
      uid: fc.nat(3),
      gid: fc.nat(3),
      mtime: fc.nat(1000),
      rdev: fc.constantFrom(0, 0, 1),
      size: fc.constantFrom(0, 1, 4096, 5000, 12_288),
      opaque: fc.constantFrom(undefined, undefined, undefined, 'y', 'n'),
      user: fc.boolean(),
    })
    .map(({ target, size, opaque, user, ...entry }): Entry => {
      const xattrs = new Map<string, Buffer>();
      if (opaque !== undefined) xattrs.set(OPAQUE, Buffer.from(opaque));
      if (user) xattrs.set('user.a', Buffer.from('1'));
      const isSymlink = entry.type === 'symlink';
      return {
        ...entry,
        path: isSymlink ? `${entry.path}/link`.replace(/^\//, '') : entry.path,
        mtimeNsec: 0,
        size: entry.type === 'file' ? size : 0,
        ...(isSymlink || entry.type === 'hardlink' ? { target } : {}),
        ...(entry.type === 'hardlink' ? {} : { xattrs }),
      };
    }),
  { maxLength: 14 },
);

export const stackOfEntries = (maxLayers = 5): fc.Arbitrary<Entry[][]> =>
  fc.array(layerEntries, { minLength: 1, maxLength: maxLayers });

/** Inserts what of the entries makes sense, into both. */
export const insertBoth = (tree: Tree, entries: readonly Entry[]): ModelTree => {
  const model = new ModelTree();
  for (const entry of entries) if (typeof model.insert(entry) !== 'string') tree.insert(entry);
  tree.settleHardlinks();
  return model;
};
