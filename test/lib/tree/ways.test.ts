import t from 'tap';
import type { Entry } from '../../../lib/model/entry.js';
import { Tree } from '../../../lib/tree/tree.js';
import { entryOf } from '../../support/images/entries.js';

const treeOf = (...entries: Entry[]): Tree => {
  const tree = new Tree();
  for (const entry of entries) tree.insert(entry);
  return tree;
};
const symlink = (path: string, target: string): Entry => entryOf('symlink', path, { target });
const file = (path: string): Entry => entryOf('file', path);
const pathsOf = (tree: Tree): string[] => {
  const paths: string[] = [];
  const rows = [0];
  for (let row = rows.pop(); row !== undefined; row = rows.pop()) {
    if (row !== 0) paths.push(tree.path(row));
    tree.childrenInto(rows, row);
  }
  return paths.sort();
};

t.test('an entry below a symlink goes where that points', async t => {
  for (const [target, at] of [
    ['usr/lib', 'usr/lib/x'],
    ['/usr/lib', 'usr/lib/x'],
    ['./usr/./lib/', 'usr/lib/x'],
    ['../../usr/lib', 'usr/lib/x'],
    ['..', 'x'],
    ['/', 'x'],
    ['missing/at/first', 'missing/at/first/x'],
    ['usr/../lib64', 'lib64/x'],
  ] as const) {
    const tree = treeOf(entryOf('directory', 'usr/lib'), symlink('lib', target), file('lib/x'));
    t.ok(pathsOf(tree).includes(at), `${target}: ${pathsOf(tree).join()}`);
    t.ok(tree.isType(tree.find('lib'), 'symlink'), 'the symlink stays');
  }
  const tree = treeOf(symlink('a/b', '../c'), symlink('c', '/d/e'), file('a/b/f/x'));
  t.same(pathsOf(tree), ['a', 'a/b', 'c', 'd', 'd/e', 'd/e/f', 'd/e/f/x'], 'through two');
});

t.test(
  'a hardlink finds its target through symlinks, but does not follow the last one',
  async t => {
    const tree = treeOf(symlink('l', 'd'), file('l/f'), symlink('l/s', 'f'));
    const f = tree.insert(entryOf('hardlink', 'f2', { target: 'l/f' }));
    t.equal(tree.source.get(f), tree.source.get(tree.find('d/f')));
    const s = tree.insert(entryOf('hardlink', 's2', { target: 'l/s' }));
    t.ok(tree.isType(s, 'symlink'));
    t.equal(tree.target(s), 'f');
    t.equal(tree.source.get(s), tree.source.get(tree.find('d/s')));
  },
);

t.test('a directory takes the place of a symlink that is described again', async t => {
  const tree = treeOf(symlink('l', 'd'), file('l/x'), entryOf('directory', 'l'), file('l/y'));
  t.same(pathsOf(tree), ['d', 'd/x', 'l', 'l/y']);
});

t.test('symlinks that go in circles, to a file, or on for too long', async t => {
  const corrupt = (tree: Tree, path: string, message: string): void => {
    t.throws(() => tree.insert(file(path)), { code: 'CORRUPT', message });
  };
  corrupt(treeOf(symlink('a', 'b'), symlink('b', 'a')), 'a/x', "'a' is not a directory");
  corrupt(treeOf(symlink('a', 'a')), 'a/x', "'a' is not a directory");
  corrupt(treeOf(file('f'), symlink('a', 'f')), 'a/x', "'f' is not a directory");
  corrupt(treeOf(file('f'), symlink('a', 'f/g')), 'a/x', "'f' is not a directory");
  const grows = treeOf(symlink('a', `a/${'x'.repeat(200)}`));
  corrupt(grows, 'a/x', "'a' is not a directory");

  const chain = treeOf(entryOf('directory', 'l0'));
  for (let n = 1; n <= 300; n++) chain.insert(symlink(`l${n}`, `l${n - 1}`));
  chain.insert(file('l255/x'));
  t.ok(chain.find('l0/x') > 0, '255 are followed, as in containerd');
  corrupt(chain, 'l256/x', "'l256' is not a directory");

  const tree = treeOf(symlink('0', 'd/'.repeat(2000)));
  for (let n = 1; n < 200; n++) tree.insert(symlink(`${n}`, `${n - 1}`));
  t.throws(
    () => {
      for (let n = 0; n < 100_000; n++) tree.insert(file(`${n % 200}/x${n}`));
    },
    { code: 'LIMIT', message: /^the symlinks on the way to \d+ entries lead through \d+ names/ },
  );
});

t.test('symlinks of the layers below are followed, unless the layer hides them', async t => {
  const over = (...entries: Entry[]): string[] => {
    const tree = treeOf(entryOf('directory', 'usr/lib'), symlink('lib', 'usr/lib'));
    const root = tree.addRoot();
    tree.enter(root, 0);
    for (const entry of entries) tree.insert(entry);
    return ['lib/x', 'usr/lib/x'].filter(path => tree.find(path) >= 0);
  };
  t.same(over(file('lib/x')), ['usr/lib/x']);
  t.same(over(entryOf('directory', 'lib'), file('lib/x')), ['lib/x']);
  t.same(over(file('.wh.lib'), file('lib/x')), ['lib/x']);
  t.same(over(file('.wh..wh..opq'), file('lib/x')), ['lib/x']);
});
