import t from 'tap';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { IdSet, walk } from '../../../lib/bootstrap/walk.js';
import type { Inode } from '../../../lib/model/stored.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { failure, golden } from '../../support/images/golden.js';

/** An image made of nothing but a tree: directories by id, with what they hold. */
const image = (
  directories: Readonly<Record<number, readonly (readonly [name: string, id: number])[]>>,
  { nlink = 1, limits = { names: 1000, chunks: 1000 } } = {},
): Bootstrap => {
  const inode = (id: number): Inode => ({
    id,
    type: Object.hasOwn(directories, id) ? 'directory' : 'file',
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNsec: 0,
    size: 0,
    nlink,
    blocks: 0,
    rdev: 0,
    hasXattr: false,
    chunkCount: 10,
    childIndex: 0,
    symlinkSize: 0,
  });
  const some = parseBootstrap(golden('merge.v6'));
  return {
    ...some,
    idLimit: 5000,
    rootId: 1,
    limits,
    inode,
    *children({ id }: Inode) {
      for (const [name, child] of directories[id] ?? []) yield { name, id: child };
    },
    chunks: () => [],
    xattrs: () => new Map(),
    symlinkTarget: () => '',
  };
};

t.test('parents come before children, in the order of the directory', t => {
  const tree = image({ 1: [['a', 2], ['b', 3], ['c', 4]], 3: [['x', 5]] }); // prettier-ignore
  t.strictSame(
    [...walk(tree)].map(({ path, parentId }) => [path, parentId]),
    [['', 1], ['a', 1], ['b', 1], ['b/x', 3], ['c', 1]], // prettier-ignore
  );
  t.end();
});

t.test('a file with two names is repeated, if it may have them', t => {
  const tree = { 1: [['a', 2], ['b', 2]] } as const; // prettier-ignore
  t.strictSame(
    [...walk(image(tree, { nlink: 2 }))].map(({ repeated }) => repeated),
    [false, false, true],
  );
  t.match(
    failure(() => [...walk(image(tree))]),
    { code: 'CORRUPT', at: { path: '/b' } },
  );
  t.end();
});

t.test('refuses cycles, and directories with two names', t => {
  const nlink = 9;
  for (const tree of [
    image({ 1: [['a', 1]] }, { nlink }),
    image({ 1: [['a', 2]], 2: [['b', 3]], 3: [['c', 2]] }, { nlink }),
    image({ 1: [['a', 2], ['b', 2]], 2: [] }, { nlink }), // prettier-ignore
  ]) {
    t.match(
      failure(() => [...walk(tree)]),
      { code: 'CORRUPT', message: /two names/ },
    );
  }
  t.end();
});

t.test('refuses more than an image can hold', t => {
  const tree = { 1: [['a', 2], ['b', 3], ['c', 4]] } as const; // prettier-ignore
  const fits = [...walk(image(tree, { limits: { names: 3, chunks: 30 } }))];
  t.equal(fits.length, 4);
  for (const limits of [
    { names: 2, chunks: 30 },
    { names: 3, chunks: 29 },
  ]) {
    const error = failure(() => [...walk(image(tree, { limits }))]);
    t.match(error, { code: 'CORRUPT', at: { path: '/c' } });
  }
  t.end();
});

t.test('refuses endless paths, and walks deep ones', t => {
  const deep = (length: number) =>
    image(
      Object.fromEntries(
        Array.from({ length: 400 }, (_, i) => [i + 1, [['n'.repeat(length), i + 2]] as const]),
      ),
    );
  t.equal([...walk(deep(9))].length, 402 - 1);
  t.match(
    failure(() => [...walk(deep(10))]),
    { code: 'LIMIT' },
  );
  t.end();
});

t.test('a set of ids', t => {
  const set = new IdSet(20);
  t.ok(set.add(19));
  t.notOk(set.add(19));
  t.strictSame([18, 19, 0].map(id => set.has(id)), [false, true, false]); // prettier-ignore
  t.end();
});
