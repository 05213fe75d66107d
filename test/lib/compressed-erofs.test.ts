import t from 'tap';
import { encodeMetadata, PACKINGS, Pieces, planCompressed } from '../../lib/compressed-erofs.js';
import { Tree } from '../../lib/tree.js';
import { CompressedReader } from '../support/compressed-reader.js';
import { entryOf } from '../support/entries.js';

// contents are compared in test/streams/compressed-image.test.ts, by reader and kernel

t.test('pieces lie side by side', async t => {
  const pieces = new Pieces(0x10000);
  t.equal(pieces.file(1), undefined);
  pieces.startFile(1);
  pieces.add(1, 16, false);
  pieces.add(1, 3, true);
  pieces.startFile(2);
  pieces.add(2, 1, false);
  t.equal(pieces.blocks, 20);
  t.same(pieces.file(1), { piece: 0, blocks: 19, packed: true });
  t.same(pieces.file(2), { piece: 2, blocks: 1, packed: false });
  t.same(
    [0, 1, 2].map(n => pieces.blkaddr(n)),
    [0, 16, 19],
  );
  t.same(
    [0, 1, 2].map(n => pieces.packedBlocks(n)),
    [0, 3, 0],
  );
  t.throws(
    () => {
      for (let i = 0; i < 2; i++) pieces.add(2, 2 ** 31, false);
    },
    { code: 'LIMIT' },
  );
});

t.test('directories and symlinks of all sizes, names of one inode, devices', async t => {
  for (const packing of ['lz4', 'zstd'] as const) {
    const tree = new Tree();
    const due = new Map<string, string>();
    for (let i = 0; i < 40; i++) {
      tree.insert(entryOf('directory', `d${i}`));
      due.set(`d${i}`, 'directory');
      for (let k = 0; k < i * 9; k++) {
        const path = `d${i}/${'n'.repeat(1 + (k % 30))}${k}`;
        tree.insert(entryOf('file', path, { size: 0 }));
        due.set(path, 'file');
      }
    }
    const targets = [1, 100, 4000, 4032, 4033, 4095].map(size => 'x'.repeat(size));
    targets.forEach((target, i) => tree.insert(entryOf('symlink', `s${i}`, { target })));
    tree.insert(entryOf('char', 'null', { rdev: 0x103 }));
    tree.insert(entryOf('fifo', 'fifo'));
    tree.insert(entryOf('hardlink', 'd1/other', { target: 'd1/n0' }));
    const pieces = new Pieces(PACKINGS[packing].pieceSize);
    const plan = planCompressed(tree, pieces, packing);
    t.equal(plan.size, plan.metaSize, 'nothing but metadata');
    const reader = new CompressedReader(encodeMetadata(plan));
    const names = new Map(reader.names());
    for (const [path, type] of due) {
      const { mode } = reader.inode(names.get(path)!);
      t.equal(mode >> 12, type === 'file' ? 8 : 4);
    }
    t.equal(names.size, due.size + targets.length + 3);
    targets.forEach((target, i) => {
      t.equal(reader.inode(names.get(`s${i}`)!).content.toString(), target, `${target.length}`);
    });
    t.equal(reader.inode(names.get('null')!).union1, 0x103);
    t.equal(reader.inode(names.get('fifo')!).union1, 0);
    t.equal(names.get('d1/other'), names.get('d1/n0'));
    t.equal(reader.inode(names.get('d1/other')!).nlink, 2);
    t.equal(reader.inode(reader.rootNid).nlink, 42);
  }
});
