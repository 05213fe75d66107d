import fc from 'fast-check';
import t from 'tap';
import { applyLayer } from '../../../lib/tree/overlay.js';
import type { Entry } from '../../../lib/model/entry.js';
import { Tree } from '../../../lib/tree/tree.js';
import type { WhiteoutSpec } from '../../../lib/layer/whiteout.js';
import { entryOf } from '../../support/images/entries.js';
import {
  flatten,
  insertBoth,
  stackOfEntries,
  treeDifference,
} from '../../support/model/model-layers.js';

/** Lays stacks of entries over each other. */
const laid = (stack: readonly (readonly Entry[])[], spec: WhiteoutSpec) => {
  const tree = new Tree();
  const models = stack.map((entries, n) => {
    const root = n === 0 ? 0 : tree.addRoot();
    const model = insertBoth(tree, entries);
    if (n > 0) applyLayer(tree, 0, root, spec);
    return model;
  });
  return { tree, models };
};

for (const spec of ['oci', 'overlayfs', 'none'] as const) {
  t.test(`a stack of layers is what a map of paths says, ${spec}`, async () => {
    fc.assert(
      fc.property(stackOfEntries(), stack => {
        const { tree, models } = laid(stack, spec);
        const wrong = treeDifference(tree, flatten(models, spec));
        if (wrong) throw new Error(wrong);
      }),
      { numRuns: 1000 },
    );
  });
}

const file = (path: string): Entry => entryOf('file', path);
const directory = (path: string, more: Partial<Entry> = {}): Entry =>
  entryOf('directory', path, more);
const symlink = (path: string, target: string): Entry => entryOf('symlink', path, { target });
const pathsOf = (tree: Tree): string[] => {
  const paths: string[] = [];
  const rows = [0];
  for (let row = rows.pop(); row !== undefined; row = rows.pop()) {
    if (row !== 0) paths.push(tree.path(row));
    tree.childrenInto(rows, row);
  }
  return paths.sort();
};

const CASES: readonly [what: string, WhiteoutSpec, Entry[][], due: string[]][] = [
  ['a whiteout deletes a name', 'oci', [[file('a'), file('b')], [file('.wh.a')]], ['b']],
  [
    'a whiteout does not delete what its own layer has',
    'oci',
    [
      [directory('a'), file('a/old')],
      [file('.wh.a'), directory('a'), file('a/new')],
    ],
    ['a', 'a/new'],
  ],
  [
    'an opaque directory hides all below it',
    'oci',
    [
      [directory('d'), file('d/a'), directory('d/e'), file('d/e/x')],
      [directory('d'), file('d/.wh..wh..opq'), file('d/b')],
    ],
    ['d', 'd/b'],
  ],
  [
    'an opaque root hides all',
    'oci',
    [
      [file('a'), directory('d'), file('d/a')],
      [file('.wh..wh..opq'), file('b')],
    ],
    ['b'],
  ],
  [
    'whiteouts are gone where there was nothing',
    'oci',
    [[file('a')], [directory('n'), file('n/.wh.x'), file('n/.wh..wh..opq'), file('n/y')]],
    ['a', 'n', 'n/y'],
  ],
  [
    'those of the lowest layer stay',
    'oci',
    [[file('.wh.a'), file('b')], [file('c')]],
    ['.wh.a', 'b', 'c'],
  ],
  ['and are no whiteouts later', 'oci', [[file('.wh.a')], [file('a')]], ['.wh.a', 'a']],
  [
    'a directory is a whiteout too, with all in it',
    'oci',
    [[file('a')], [directory('.wh.a'), file('.wh.a/x')]],
    [],
  ],
  [
    'a file takes the place of a directory, and a directory that of a file',
    'oci',
    [
      [directory('d'), file('d/x'), file('f')],
      [file('d'), directory('f'), file('f/y')],
    ],
    ['d', 'f', 'f/y'],
  ],
  [
    'a device 0/0 is a whiteout for overlayfs alone',
    'overlayfs',
    [
      [file('a'), file('b')],
      [entryOf('char', 'a', { rdev: 0 }), file('.wh.b')],
    ],
    ['.wh.b', 'b'],
  ],
  [
    'an opaque directory of overlayfs stays without its mark',
    'overlayfs',
    [
      [directory('d'), file('d/a')],
      [
        directory('d', { xattrs: new Map([['trusted.overlay.opaque', Buffer.from('y')]]) }),
        file('d/b'),
      ],
    ],
    ['d', 'd/b'],
  ],
  [
    'a directory that is only implied follows the symlink below it, and so do its whiteouts',
    'oci',
    [
      [directory('real', { mode: 0o700 }), file('real/a'), file('real/b'), symlink('l', 'real')],
      [file('l/.wh.a'), file('l/c')],
    ],
    ['l', 'real', 'real/b', 'real/c'],
  ],
  [
    'a directory that is described takes the place of the symlink',
    'oci',
    [
      [directory('real'), file('real/a'), symlink('l', 'real')],
      [directory('l', { mode: 0o700 }), file('l/.wh.a'), file('l/c')],
    ],
    ['l', 'l/c', 'real', 'real/a'],
  ],
  [
    'a whiteout deletes a symlink before others could follow it',
    'oci',
    [
      [directory('real'), symlink('l', 'real')],
      [file('l/c'), file('.wh.l')],
    ],
    ['l', 'l/c', 'real'],
  ],
  ['nothing is a whiteout for none', 'none', [[file('a')], [file('.wh.a')]], ['.wh.a', 'a']],
];

for (const [what, spec, stack, due] of CASES) {
  t.test(what, async t => {
    const { tree } = laid(stack, spec);
    t.same(pathsOf(tree), due);
    if (spec === 'overlayfs' && due.includes('d')) t.equal(tree.xattrs.get(tree.find('d')), 0);
  });
}

t.test('a directory of both gets the attributes of the upper one, the root too', async t => {
  const { tree } = laid(
    [
      [directory('', { mode: 0o700, uid: 1 }), directory('d', { mode: 0o711, mtime: 5 })],
      [directory('', { mode: 0o755, uid: 2 }), directory('d', { mode: 0o722, mtime: 6 })],
    ],
    'oci',
  );
  t.match([tree.mode.get(0), tree.uid.get(0)], [0o040755, 2]);
  const row = tree.find('d');
  t.match([tree.mode.get(row), tree.mtime.get(row)], [0o040722, 6]);
});

t.test('a directory that is only implied leaves the one below as it is', async t => {
  const { tree } = laid(
    [
      [directory('', { mode: 0o711 }), directory('d', { mode: 0o700, uid: 7, mtime: 5 })],
      [file('d/x')],
    ],
    'oci',
  );
  t.equal(tree.mode.get(0), 0o040711);
  const row = tree.find('d');
  t.match([tree.mode.get(row), tree.uid.get(row), tree.mtime.get(row)], [0o040700, 7, 5]);
});

t.test('below a symlink to a file there can be nothing', async t => {
  t.throws(() => laid([[file('f'), symlink('l', 'f')], [file('l/x')]], 'oci'), {
    code: 'CORRUPT',
    message: "'f' is not a directory",
    at: { path: 'l' },
  });
});

t.test('names of one file are of one layer', async t => {
  const both = [file('a'), entryOf('hardlink', 'b', { target: 'a' })];
  const { tree } = laid([both, [file('a'), entryOf('hardlink', 'c', { target: 'a' })]], 'oci');
  const source = (path: string): number => tree.source.get(tree.find(path));
  t.equal(source('a'), source('c'));
  t.not(source('a'), source('b'));
});

t.test('a hundred thousand names deleted one by one, and as many moved', async t => {
  const tree = new Tree();
  const count = 100_000;
  for (let i = 0; i < count; i++) tree.insert(file(`d/f${i}`));
  const root = tree.addRoot();
  for (let i = 0; i < count; i += 2) tree.insert(file(`d/.wh.f${i}`));
  for (let i = 0; i < count; i += 2) tree.insert(file(`d/g${i}`));
  applyLayer(tree, 0, root, 'oci');
  const rows: number[] = [];
  tree.childrenInto(rows, tree.find('d'));
  t.equal(rows.length, count);
  t.equal(tree.find('d/f0'), -1);
  t.ok(tree.find('d/f1') > 0 && tree.find('d/g0') > 0);
});
