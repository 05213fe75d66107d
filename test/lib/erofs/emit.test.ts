import t from 'tap';
import { emitMetadata } from '../../../lib/erofs/emit.js';
import { planCompressed } from '../../../lib/erofs/plan.js';
import { PACKINGS, PclusterMap } from '../../../lib/erofs/pclusters.js';
import { Tree } from '../../../lib/tree/tree.js';
import { CompressedReader } from '../../support/peers/compressed-reader.js';
import { entryOf } from '../../support/images/entries.js';

// contents are compared in test/streams/compressed-image.test.ts, by reader and kernel

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
    const plan = planCompressed(tree, new PclusterMap(tree, packing), PACKINGS[packing].algorithm);
    t.equal(plan.size, plan.metaSize, 'nothing but metadata');
    const made = [...emitMetadata(plan)];
    t.ok(made.length > 1);
    t.same(
      made.flatMap(({ tails }) => tails),
      [],
    );
    const reader = new CompressedReader(Buffer.concat(made.map(({ bytes }) => bytes)));
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

t.test('a map that is larger than what is made at a time', async t => {
  const tree = new Tree();
  const size = 601 * 0x20000 + 5000; // 154 KiB of entries
  tree.insert(entryOf('file', 'a', { size: 5 }));
  const row = tree.insert(entryOf('file', 'b', { size }));
  tree.insert(entryOf('file', 'c', { size: 7 }));
  const pieces = new PclusterMap(tree, 'zstd');
  pieces.add(tree.find('a'), 5, 0);
  for (let left = size, i = 0; left > 0; left -= 0x20000, i++) {
    pieces.add(row, Math.min(left, 0x20000), i % 3 === 0 ? 0 : 1 + (i % 40) * 1000);
  }
  pieces.add(tree.find('c'), 7, 0);
  const plan = planCompressed(tree, pieces, PACKINGS.zstd.algorithm);
  const made = [...emitMetadata(plan)];
  t.same(
    made.flatMap(({ tails }) => tails.map(tail => tail.size)),
    [5, 7],
  );
  const bytes = Buffer.concat(made.map(piece => piece.bytes));
  t.equal(bytes.length, plan.metaSize);
  t.equal(plan.size, plan.metaSize + pieces.blocks * 4096);
  const at = plan.offset[row]! + 64 + 16;
  const count = Math.ceil(size / 4096);
  let used = 0;
  const wrong: number[] = [];
  for (let i = 0; i < count; i++) {
    const entry = bytes.subarray(at + 8 * i, at + 8 * i + 8);
    const piece = Math.floor(i / 32);
    const [type, clusterOffset] = [entry.readUInt16LE(0), entry.readUInt16LE(2)];
    let isRight: boolean;
    if (type === 2) {
      const back = entry.readUInt16LE(4);
      isRight = back & 0x800 ? i % 32 === 1 : back === i % 32;
    } else if (i === count - 1) {
      isRight = type === 0 && clusterOffset === size % 4096;
    } else {
      const due = i % 32 === 0 && piece % 3 !== 0 ? 1 : 0;
      const blkaddr = plan.metaSize / 4096 + used;
      isRight = type === due && clusterOffset === 0 && entry.readUInt32LE(4) === blkaddr;
      used += type === 0 ? 1 : Math.ceil((1 + (piece % 40) * 1000) / 4096);
    }
    if (!isRight) wrong.push(i);
  }
  t.same(wrong, []);
  t.equal(used, pieces.blocks);
});
