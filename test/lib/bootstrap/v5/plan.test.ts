import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { headSize, planV5, sizeDirectories } from '../../../../lib/bootstrap/v5/plan.js';
import { ChunkTable } from '../../../../lib/chunk/chunk-table.js';
import { prepareDigests } from '../../../../lib/crypto/digest.js';
import type { BlobInfo } from '../../../../lib/model/blob.js';
import { Tree } from '../../../../lib/tree/tree.js';
import { blobInfo } from '../../../support/images/chunks.js';
import { entryOf } from '../../../support/images/entries.js';
import { randomEntries, walkOrder } from '../../../support/images/images.js';
import { FLAGS_V5, imageOfV5, planOfV5 } from '../../../support/images/images-v5.js';

await prepareDigests();

const OPTIONS = { chunkSize: 4096, flags: FLAGS_V5 };
const EMPTY = createHash('sha256').digest();

t.test('children lie side by side, behind their directory', async () => {
  fc.assert(
    fc.property(randomEntries(), entries => {
      const made = imageOfV5(entries);
      const plan = planOfV5(made);
      const paths = [...walkOrder(made.model.root)].map(([path]) => path);
      if (paths.length !== plan.rows.length) throw new Error('names are missing');
      paths.forEach((path, place) => {
        if (made.tree.find(path) !== plan.rows[place]) throw new Error(`place of '${path}'`);
        if (plan.childCount[place]! > 0 && plan.childIndex[place]! <= place + 1) {
          throw new Error(`children of '${path}'`);
        }
      });
      const records = [...plan.order].map(place => plan.offset8[place]!);
      return records.every((offset, i) => i === 0 || offset > records[i - 1]!);
    }),
    { numRuns: 100 },
  );
});

t.test('records are placed depth first', async t => {
  const paths = ['b/y', 'b/x/deep', 'a', 'c'];
  const made = imageOfV5(paths.map(path => entryOf('fifo', path)));
  const plan = planOfV5(made);
  t.same(
    [...plan.order].map(place => made.tree.path(plan.rows[place]!)),
    ['', 'a', 'b', 'b/x', 'b/x/deep', 'b/y', 'c'],
  );
  t.same(
    [...plan.rows].map(row => made.tree.path(row)),
    ['', 'a', 'b', 'c', 'b/x', 'b/y', 'b/x/deep'],
  );
});

t.test('names of a file share the number of the first; each has a record', async t => {
  const made = imageOfV5([
    entryOf('file', 'd/f', { size: 3 }),
    entryOf('hardlink', 'z', { target: 'd/f' }),
    entryOf('symlink', 'y', { target: 'z' }),
  ]);
  const plan = planOfV5(made);
  t.same([...plan.ino.subarray(0, 5)], [1, 2, 3, 4, 4]);
  t.same([...plan.nlink.subarray(0, 5)], [3, 2, 1, 2, 2]);
  t.equal(plan.inodeCount, 4);
  t.equal(plan.rows.length, 5);
});

t.test('digests: of what is in an inode, of nothing for devices', async t => {
  const made = imageOfV5([
    entryOf('symlink', 's', { target: '../f' }),
    entryOf('char', 'c', { rdev: 5 }),
    entryOf('directory', 'd'),
    entryOf('file', 'e'),
  ]);
  const { digests } = planOfV5(made);
  const at = (place: number): Buffer => digests.subarray(32 * place, 32 * place + 32);
  for (const place of [1, 2, 3]) t.ok(at(place).equals(EMPTY));
  t.equal(
    at(4).toString('hex'),
    '0542c883160121610c9555b1087a5c3ecb248c2080b7a08e7f57aaaf8cbcaa55',
    'as nydus-image has it',
  );
  t.ok(at(0).equals(createHash('sha256').update(digests.subarray(32)).digest()));
});

t.test('the digest algorithm is that of the flags', async t => {
  const tree = new Tree();
  const plan = planV5(tree, new ChunkTable(), [], { chunkSize: 4096, flags: 0x15 });
  t.equal(
    plan.digests.toString('hex'),
    'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    'BLAKE3 of nothing',
  );
});

t.test('flags: xattrs only where a name has some', async t => {
  const xattrs = new Map([['user.a', Buffer.from('1')]]);
  const file = entryOf('file', 'f');
  t.equal(planOfV5(imageOfV5([file])).flags, FLAGS_V5);
  t.equal(planOfV5(imageOfV5([{ ...file, xattrs }])).flags, FLAGS_V5 + 0x20);
  t.equal(planOfV5(imageOfV5([{ ...file, xattrs }, file])).flags, FLAGS_V5);
  const linked = [{ ...file, xattrs }, entryOf('hardlink', 'g', { target: 'f' }), file];
  t.equal(planOfV5(imageOfV5(linked)).flags, FLAGS_V5 + 0x20, 'a link has those of its target');
});

t.test('directories: by their names, in steps of 4 KiB, and once', async t => {
  const entries = Array.from({ length: 372 }, (_, i) => entryOf('fifo', `d/x${100 + i}`));
  const { tree } = imageOfV5([...entries, entryOf('directory', 'e')]);
  const sizeOf = (path: string): number => tree.size.get(tree.find(path));
  sizeDirectories(tree);
  t.same([sizeOf(''), sizeOf('e')], [4096, 4096]);
  t.equal(sizeOf('d'), 8192, '4464 bytes of names');
  // as when the layer is laid over another
  tree.insert(entryOf('fifo', `e/${'n'.repeat(250)}`));
  for (let i = 0; i < 20; i++) tree.insert(entryOf('fifo', `e/${'n'.repeat(240)}${i}`));
  planV5(tree, new ChunkTable(), [], OPTIONS);
  t.equal(sizeOf('e'), 4096);
});

t.test('the blob table has no NUL at its end', async t => {
  const tableOf = (...blobs: BlobInfo[]): Buffer =>
    planV5(new Tree(), new ChunkTable(), blobs, OPTIONS).blobTable;
  const of64 = (c: string): BlobInfo => blobInfo({ id: c.repeat(64) });
  t.same(
    [
      tableOf().length,
      tableOf(of64('a')).length,
      tableOf(of64('a'), of64('b')).length,
      tableOf(of64('a'), of64('b'), of64('c')).length,
    ],
    [0, 72, 152, 224],
  );
  t.equal(
    tableOf(blobInfo({ id: 'ab', readaheadSize: 0x11223344 }), blobInfo({ id: 'cd' })).toString(
      'hex',
    ),
    '0000000044332211616200' + '00000000000000006364' + '000000',
  );
  t.throws(() => tableOf(blobInfo({ id: '' })), { code: 'LIMIT' });
  t.throws(() => tableOf(blobInfo({ id: 'a\0b' })), { code: 'LIMIT' });
});

t.test('prefetch: numbers of exact paths, no empty files', async t => {
  const made = imageOfV5(
    [
      entryOf('file', 'd/first', { size: 1 }),
      entryOf('hardlink', 'link', { target: 'd/first' }),
      entryOf('file', 'empty'),
    ],
    { prefetch: ['/link', '/none', '/empty', '/d/first', '/', '/d'] },
  );
  const plan = planOfV5(made);
  t.same(plan.prefetch, [4, 4, 1, 2], 'both names have the number of the first one in order');
  t.equal(plan.blobOffset - plan.prefetchOffset, 16);
});

t.test('a bootstrap that no reader opens is LIMIT, and is not made', async t => {
  const tree = new Tree();
  const row = tree.insert(entryOf('file', 'f', { size: 4096 * 3e7 }));
  tree.setChunks(row, 0, 3e7);
  t.throws(() => planV5(tree, new ChunkTable(), [], OPTIONS), {
    name: 'RafsError',
    code: 'LIMIT',
    message: /2147483648/,
  });
});

t.test('size of a record without its chunks', async t => {
  const xattrs = new Map([['user.a', Buffer.from('12345')]]);
  const made = imageOfV5([
    entryOf('file', '12345678', { size: 9000 }),
    entryOf('symlink', '123456789', { target: '1', xattrs }),
  ]);
  const plan = planOfV5(made);
  const sizeOf = (path: string): number => headSize(plan, made.tree.find(path));
  t.equal(sizeOf(''), 128 + 8);
  t.equal(sizeOf('12345678'), 128 + 8);
  t.equal(sizeOf('123456789'), 128 + 16 + 8 + 8 + 16);
});
