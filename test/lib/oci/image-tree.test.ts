/** Layers laid over one another, and trees compared. */
import t from 'tap';
import type { Entry, EntryType } from '../../../lib/model/entry.js';
import { differences, TreeBuilder, type ImageTree } from '../../../lib/oci/image-tree.js';

const entry = (path: string, type: EntryType = 'file', more: Partial<Entry> = {}): Entry => ({
  path,
  type,
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: 0,
  mtimeNsec: 0,
  size: 0,
  rdev: 0,
  ...more,
});

const treeOf = (...layers: Entry[][]): ImageTree => {
  const builder = new TreeBuilder();
  for (const layer of layers) {
    builder.beginLayer();
    for (const one of layer) builder.add(one);
  }
  return builder.tree;
};
const paths = (...layers: Entry[][]): string[] => [...treeOf(...layers).keys()].sort();

t.test('whiteouts delete what lower layers have, not what their own has', t => {
  const lower = [entry('d', 'directory'), entry('d/a'), entry('d/b'), entry('e')];
  t.same(paths(lower, [entry('d/.wh.a'), entry('.wh.e')]), ['', 'd', 'd/b']);
  t.same(paths(lower, [entry('d/new'), entry('d/.wh..wh..opq')]), ['', 'd', 'd/new', 'e']);
  t.same(paths(lower, [entry('d/a'), entry('d/.wh.a')]), ['', 'd', 'd/a', 'd/b', 'e']);
  t.same(paths(lower, [entry('.wh.d')]), ['', 'e'], 'with all that is below');
  t.end();
});

t.test('a directory over a directory keeps its content, anything else does not', t => {
  const lower = [entry('d', 'directory'), entry('d/a')];
  t.same(paths(lower, [entry('d', 'directory', { mode: 0o700 })]), ['', 'd', 'd/a']);
  t.same(paths(lower, [entry('d')]), ['', 'd']);
  t.same(paths([entry('x/y/z')]), ['', 'x', 'x/y', 'x/y/z'], 'parents that nobody made');
  t.end();
});

t.test('names of one file are known as such', t => {
  const linked = treeOf([entry('a'), entry('b', 'hardlink', { target: 'a' })]);
  const apart = treeOf([entry('a'), entry('b')]);
  t.same([...differences(linked, linked)], []);
  t.match([...differences(linked, apart)], [{ path: 'b', kind: 'link', due: '/a', found: '/b' }]);
  t.end();
});

t.test('permissions of symlinks, and directories that only have a name, are no difference', t => {
  const link = (mode: number) => treeOf([entry('s', 'symlink', { target: 't', mode })]);
  t.same([...differences(link(0o644), link(0o777))], []);
  const implied = treeOf([entry('d/a')]);
  const said = treeOf([entry('d', 'directory', { mode: 0o700 }), entry('d/a')]);
  t.same([...differences(implied, said)], []);
  t.end();
});
