import fc from 'fast-check';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import type { Entry, EntryType } from '../../../lib/model/entry.js';
import { MODE_OF_TYPE, S_IFMT } from '../../../lib/model/mode.js';
import { Tree } from '../../../lib/tree/tree.js';
import { entryOf } from '../../support/images/entries.js';
import { ModelTree } from '../../support/model/model-tree.js';

// few names, so that paths repeat, lie within one another and change their type
const path = fc
  .array(fc.constantFrom('a', 'b', 'c', '\xff', '.x'), { maxLength: 4 })
  .map(names => names.join('/'));
const type = fc.constantFrom<EntryType>(
  'file',
  'file',
  'directory',
  'directory',
  'symlink',
  'hardlink',
  'hardlink',
  'char',
  'block',
  'fifo',
  'socket',
);
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const XATTR_SETS: (ReadonlyMap<string, Buffer> | undefined)[] = [
  undefined,
  new Map(),
  new Map([['user.a', Buffer.from('1')]]),
  new Map([
    ['user.b', Buffer.from('2')],
    ['user.a', Buffer.from('1')],
  ]),
  new Map([
    ['user.a', Buffer.from('1')],
    ['user.b', Buffer.from('2')],
  ]),
];
const entry = fc
  .record({
    path,
    type,
    target: path,
    mode: fc.nat(0o7777),
    uid: u32,
    gid: u32,
    mtime: fc.nat(2 ** 31),
    mtimeNsec: fc.nat(999999999),
    rdev: u32,
    size: fc.maxSafeNat(),
    xattrs: fc.constantFrom(...XATTR_SETS),
  })
  .map(({ target, size, xattrs, ...more }): Entry => ({
    ...more,
    size: more.type === 'file' ? size : 0,
    ...(more.type === 'symlink' || more.type === 'hardlink' ? { target } : {}),
    ...(xattrs ? { xattrs } : {}),
  }));

type Step = { insert: Entry } | { remove: string };
const steps = fc.array(
  fc.oneof<fc.WeightedArbitrary<Step>[]>(
    { weight: 12, arbitrary: fc.record({ insert: entry }) },
    { weight: 3, arbitrary: fc.record({ remove: path }) },
  ),
  { maxLength: 60, size: 'max' },
);

const codeOf = (work: () => unknown): unknown => {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof RafsError) return error.code;
    throw error;
  }
};

/** Says where `tree` differs from `model`, if anywhere. */
const difference = (tree: Tree, model: ModelTree): string | undefined => {
  const sources = new Map<unknown, number>();
  let reached = 0;
  for (const [path, node] of model.all()) {
    reached++;
    const row = tree.find(path);
    if (row < 0) return `'${path}' is not found`;
    if (tree.path(row) !== path) return `path of '${path}' is '${tree.path(row)}'`;
    if (tree.name(row) !== node.name) return `name of '${path}'`;
    if (tree.nameSize(row) !== node.name.length) return `size of the name of '${path}'`;
    if (tree.nameBytes(row).toString('latin1') !== node.name)
      return `bytes of the name of '${path}'`;
    const parent = node.parent
      ? tree.find(path.slice(0, path.lastIndexOf('/') + 1).slice(0, -1))
      : 0;
    if (tree.parent.get(row) !== parent) return `parent of '${path}'`;
    if (!tree.isType(row, node.type)) return `type of '${path}'`;
    if (tree.mode.get(row) !== (MODE_OF_TYPE[node.type] | node.mode)) return `mode of '${path}'`;
    for (const key of ['uid', 'gid', 'mtime', 'mtimeNsec', 'rdev'] as const) {
      if (tree[key].get(row) !== node[key]) return `${key} of '${path}'`;
    }
    if (tree.size.get(row) !== node.content.size) return `size of '${path}'`;
    if (node.type === 'symlink' && tree.target(row) !== node.content.target)
      return `target of '${path}'`;
    const xattrs = [...(tree.xattrSets[tree.xattrs.get(row)] ?? [])];
    const due = [...node.content.xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
    if (JSON.stringify(xattrs) !== JSON.stringify(due)) return `xattrs of '${path}'`;
    const source = sources.get(node.content);
    if (source !== undefined && tree.source.get(row) !== source) return `source of '${path}'`;
    sources.set(node.content, tree.source.get(row));
    const children: number[] = [];
    tree.childrenInto(children, row);
    const names = children.map(child => tree.name(child)).sort();
    if (names.join('/') !== [...node.children.keys()].sort().join('/')) {
      return `children of '${path}': ${names.join()}`;
    }
  }
  if (new Set(sources.values()).size !== sources.size) return 'a source number of two files';
  if ([...sources.values()].some(source => source >= tree.sourceCount)) return 'sourceCount';
  if (tree.count < reached) return 'count';
  return undefined;
};

t.test('any sequence of entries and removals gives the tree of a naive model', async t => {
  fc.assert(
    fc.property(steps, steps => {
      const tree = new Tree();
      const model = new ModelTree();
      for (const step of steps) {
        if ('remove' in step) {
          if (step.remove === '' || !model.find(step.remove)) continue;
          model.remove(step.remove);
          tree.remove(tree.find(step.remove));
        } else {
          const due = model.insert(step.insert);
          if (due === 'SYMLINK') continue;
          const got = codeOf(() => tree.insert(step.insert));
          if (got !== (due === 'CORRUPT' ? due : undefined)) t.fail(`${String(got)} for an entry`);
          tree.settleHardlinks();
        }
        const wrong = difference(tree, model);
        if (wrong) throw new Error(wrong);
      }
      // and what is not there is not found
      for (const path of ['a', 'b', 'a/b', 'c/a', 'c/a/b', 'none', 'a/', 'a//b']) {
        if (tree.find(path) < 0 !== (model.find(path) === undefined)) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
});

t.test('a tree begins with a root that nothing describes', async t => {
  const tree = new Tree();
  t.equal(tree.find(''), 0);
  t.equal(tree.path(0), '');
  t.equal(tree.mode.get(0) & ~S_IFMT, 0o755);
  tree.insert(entryOf('directory', '', { mode: 0o700, uid: 5 }));
  t.equal(tree.mode.get(0), 0o040700);
  t.equal(tree.uid.get(0), 5);
});

t.test('what an entry may not do', async t => {
  const tree = new Tree();
  tree.insert(entryOf('file', 'f'));
  tree.insert(entryOf('directory', 'd'));
  const refuse = (entry: Entry, error: object): void => {
    t.throws(() => tree.insert(entry), { name: 'RafsError', ...error });
  };
  refuse(entryOf('file', 'f/g'), {
    code: 'CORRUPT',
    message: "'f' is not a directory",
    at: { path: 'f' },
  });
  refuse(entryOf('file', ''), { code: 'CORRUPT', message: /root/ });
  refuse(entryOf('hardlink', 'h', { target: 'none' }), { code: 'CORRUPT', at: { path: 'h' } });
  refuse(entryOf('hardlink', 'h', { target: 'd' }), { code: 'CORRUPT', message: /is a directory/ });
  refuse(entryOf('file', `d/${'n'.repeat(256)}`), { code: 'LIMIT', message: /256/ });
  tree.insert(entryOf('file', `d/${'n'.repeat(255)}`));
  t.equal(tree.nameSize(tree.find(`d/${'n'.repeat(255)}`)), 255);
  t.equal(tree.find('h'), -1);
});

t.test('what a hardlink onto itself says is said of the other names', async t => {
  const tree = new Tree();
  tree.insert(entryOf('file', 'f'));
  tree.insert(entryOf('hardlink', 'g', { target: 'f' }));
  tree.insert(entryOf('hardlink', 'f', { target: 'f', mode: 0o600 }));
  tree.settleHardlinks();
  for (const name of ['f', 'g']) t.equal(tree.mode.get(tree.find(name)) & 0o7777, 0o600, name);
});

t.test('a hardlink onto what holds its target, and onto itself', async t => {
  const tree = new Tree();
  tree.insert(entryOf('file', 'd/f', { size: 7 }));
  tree.setChunks(tree.find('d/f'), 3, 2);
  const itself = tree.insert(entryOf('hardlink', 'd/f', { target: 'd/f', mode: 0o600 }));
  t.match(
    [tree.size.get(itself), tree.firstChunk.get(itself), tree.chunkCount.get(itself)],
    [7, 3, 2],
  );
  const row = tree.insert(entryOf('hardlink', 'd', { target: 'd/f' }));
  t.ok(tree.isType(row, 'file'));
  t.match([tree.size.get(row), tree.firstChunk.get(row), tree.chunkCount.get(row)], [7, 3, 2]);
  t.equal(tree.find('d/f'), -1);
});

t.test('names of one file go on after one of them is replaced', async t => {
  const tree = new Tree();
  tree.insert(entryOf('file', 'a', { size: 1 }));
  tree.insert(entryOf('hardlink', 'b', { target: 'a' }));
  tree.insert(entryOf('file', 'a', { size: 2 }));
  t.equal(tree.size.get(tree.find('b')), 1);
  t.equal(tree.size.get(tree.find('a')), 2);
  t.not(tree.source.get(tree.find('a')), tree.source.get(tree.find('b')));
});

t.test('a directory that is removed is not remembered', async t => {
  for (const removed of ['a', 'a/b']) {
    const tree = new Tree();
    tree.insert(entryOf('file', 'a/b/f'));
    tree.remove(tree.find(removed));
    tree.insert(entryOf('file', 'a/b/g'));
    t.equal(tree.find('a/b/f'), -1);
    t.equal(tree.path(tree.find('a/b/g')), 'a/b/g', `after '${removed}' is gone`);
  }
});

t.test('a target of any length that Linux has is kept', async t => {
  const tree = new Tree();
  for (const size of [0, 1, 4094, 4095]) {
    const target = 'x'.repeat(size);
    const row = tree.insert(entryOf('symlink', 's', { target }));
    t.equal(tree.target(row), target);
    t.equal(tree.size.get(row), size);
  }
});

t.test('sets of xattrs are kept once, in the order of their names', async t => {
  const tree = new Tree();
  const set = (...pairs: [string, string][]) =>
    new Map(pairs.map(([name, value]) => [name, Buffer.from(value)]));
  const rows = [
    set(['user.b', '2'], ['user.a', '1']),
    set(['user.a', '1'], ['user.b', '2']),
    set(['user.a', '1']),
    set(['user.a', '1\nuser.b=Mg==']),
    set(),
  ].map((xattrs, i) => tree.insert(entryOf('file', `f${i}`, { xattrs })));
  t.same(
    rows.map(row => tree.xattrs.get(row)),
    [1, 1, 2, 3, 0],
  );
  t.same([...tree.xattrSets[1]!.keys()], ['user.a', 'user.b']);
  t.equal(tree.xattrSets.length, 4);
});

t.test('a hundred thousand entries, and a path of two thousand components', async t => {
  const tree = new Tree();
  for (let i = 0; i < 100_000; i++) tree.insert(entryOf('file', `d${i % 100}/f${i}`, { size: i }));
  for (let i = 0; i < 100_000; i += 991) {
    t.equal(tree.size.get(tree.find(`d${i % 100}/f${i}`)), i);
  }
  const deep = Array.from({ length: 2048 }, (_, i) => `${i % 3}`).join('/');
  tree.insert(entryOf('file', deep, { size: 9 }));
  t.equal(tree.path(tree.find(deep)), deep);
  tree.insert(entryOf('file', '0'));
  t.equal(tree.find(deep), -1);
});

t.test('a few kilobytes of paths cannot ask for millions of directories', async t => {
  const deep = (first: string, size: number) =>
    `${first}${'/d'.repeat(Math.ceil(size / 2))}`.slice(0, size);
  const tree = new Tree();
  tree.insert(entryOf('file', deep('a', 4095)));
  t.equal(tree.count, 2 + 4094 / 2, 'the longest path, and all that it implies');
  t.throws(() => new Tree().insert(entryOf('file', 'a/'.repeat(2048))), {
    code: 'LIMIT',
    message: 'a path of 4096 bytes exceeds the limit of 4095',
  });
  t.throws(() => new Tree().insert(entryOf('symlink', 'a', { target: 'x'.repeat(4096) })), {
    code: 'LIMIT',
    message: 'a link target of 4096 bytes exceeds the limit of 4095',
  });
  t.throws(
    () => {
      for (let i = 0; i < 1000; i++) tree.insert(entryOf('file', deep(`x${i}`, 4000)));
    },
    { code: 'LIMIT', message: /^\d+ entries imply \d+ directories, which are too many$/ },
  );
  t.ok(tree.count < 80_000);
});
