import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { blockDigests, HashTree, planVerity, verityOptions } from '../../../lib/device/verity.js';

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** The tree level by level, as dm-verity's documentation has it: top level first. */
const naiveTree = (data: Buffer, blockSize: number): { tree: Buffer; root: Buffer } => {
  let level: Buffer[] = [];
  for (let at = 0; at < data.length; at += blockSize) {
    level.push(sha256(data.subarray(at, at + blockSize)));
  }
  const levels: Buffer[] = [];
  while (level.length > 1) {
    const pages: Buffer[] = [];
    for (let i = 0; i < level.length; i += 128) {
      const page = Buffer.alloc(4096);
      Buffer.concat(level.slice(i, i + 128)).copy(page);
      pages.push(page);
    }
    levels.unshift(Buffer.concat(pages));
    level = pages.map(sha256);
  }
  return { tree: Buffer.concat(levels), root: level[0]! };
};

const treeOf = (data: Buffer, blockSize: number, piece: number) => {
  const plan = planVerity(data.length, blockSize);
  const tree = new HashTree(plan);
  const pages: Buffer[] = [];
  for (let at = 0; at < data.length; at += piece * blockSize) {
    pages.push(...tree.add(blockDigests(data.subarray(at, at + piece * blockSize), blockSize)));
  }
  const { first, upper, root } = tree.end();
  return { plan, tree: Buffer.concat([...upper, ...pages, ...first]), root };
};

/** Data of `count` blocks, no two of them equal. */
const dataOf = (count: number, blockSize: number): Buffer => {
  const data = Buffer.alloc(count * blockSize);
  for (let i = 0; i < count; i++) data.writeUInt32LE(i + 1, i * blockSize);
  return data;
};

t.test('a tree is what its definition says, however the digests come', t => {
  const counts = fc.oneof(
    fc.integer({ min: 1, max: 300 }),
    fc.constantFrom(1, 2, 127, 128, 129, 128 * 128 - 1, 128 * 128, 128 * 128 + 1),
  );
  fc.assert(
    fc.property(
      counts,
      fc.constantFrom(512, 4096),
      fc.integer({ min: 1, max: 999 }),
      (n, bs, cut) => {
        const blockSize = n > 1000 ? 512 : bs;
        const data = dataOf(n, blockSize);
        const naive = naiveTree(data, blockSize);
        const { plan, tree, root } = treeOf(data, blockSize, cut);
        t.equal(root, naive.root.toString('hex'));
        t.ok(tree.equals(naive.tree));
        t.equal(plan.size, plan.hashOffset + naive.tree.length);
        t.equal(plan.hashOffset % 4096, 0);
        t.ok(plan.hashOffset >= data.length && plan.hashOffset < data.length + 4096);
      },
    ),
    { numRuns: 40 },
  );
  t.end();
});

t.test('one block is its own root', t => {
  const data = dataOf(1, 512);
  const { plan, tree, root } = treeOf(data, 512, 1);
  t.equal(tree.length, 0);
  t.equal(root, sha256(data).toString('hex'));
  t.equal(plan.size, 4096);
  t.end();
});

t.test('spare slots are zero', t => {
  const { tree } = treeOf(dataOf(3, 4096), 4096, 3);
  t.equal(tree.length, 4096);
  t.ok(tree.subarray(3 * 32).every(byte => byte === 0));
  t.notOk(tree.subarray(0, 3 * 32).every(byte => byte === 0));
  t.end();
});

t.test('the line of options is the one that clients parse', t => {
  const root = 'ab'.repeat(32);
  const line = verityOptions(planVerity(512 * 1164, 512), root);
  t.equal(
    line,
    'dm-verity options: --no-superblock --format=1 -s "" --hash=sha256 --data-block-size=512 ' +
      `--hash-block-size=4096 --data-blocks 1164 --hash-offset 598016 ${root}`,
  );
  t.end();
});
