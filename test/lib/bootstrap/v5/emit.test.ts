import fc from 'fast-check';
import t, { type Test } from 'tap';
import { planV5 } from '../../../../lib/bootstrap/v5/plan.js';
import { ChunkTable } from '../../../../lib/chunk/chunk-table.js';
import { prepareDigests } from '../../../../lib/crypto/digest.js';
import { emitV5 } from '../../../../lib/bootstrap/v5/emit.js';
import type { Entry } from '../../../../lib/model/entry.js';
import { Tree } from '../../../../lib/tree/tree.js';
import { entryOf } from '../../../support/images/entries.js';
import { randomEntries } from '../../../support/images/images.js';
import { due, FLAGS_V5, imageOfV5, planOfV5, written } from '../../../support/images/images-v5.js';
import { randomBytes } from '../../../support/random.js';

const WINDOW = 0x40000;

await prepareDigests();

t.test('random layers, to the byte', async () => {
  fc.assert(
    fc.property(
      randomEntries(),
      fc.integer({ min: 1, max: 4 }),
      fc.constantFrom(0x1000, 0x10000, 0x100000),
      fc.infiniteStream(fc.option(fc.nat(30), { nil: undefined })),
      (entries, blobCount, chunkSize, repeats) => {
        const made = imageOfV5(entries, {
          blobCount,
          chunkSize,
          prefetch: ['/a', '/', '/b/c', '/none', '/lib'],
          repeats: () => repeats.next().value as number | undefined,
        });
        return written(made).equals(due(made));
      },
    ),
    { numRuns: 300 },
  );
});

t.test('names of a directory are marked in no way', async t => {
  const entries = [
    entryOf('file', 'a', { size: 10 }),
    entryOf('hardlink', 'b', { target: 'a' }),
    entryOf('hardlink', 'c', { target: 'a' }),
  ];
  const tree = new Tree();
  tree.marksHardlinks = false;
  for (const entry of entries) tree.insert(entry);
  const plan = planV5(tree, new ChunkTable(), [], { chunkSize: 4096, flags: FLAGS_V5 });
  const image = Buffer.concat([...emitV5(plan)]);
  for (const place of [1, 2, 3]) {
    const at = plan.offset8[place]! * 8;
    t.equal(image.readUInt32LE(at + 80), 0, 'flags');
    t.equal(image.readUInt32LE(at + 88), 3, 'links');
    t.equal(image.readUInt32LE(at + 40), 2, 'number of the first');
  }
});

const check = (t: Test, entries: Entry[]): Buffer => {
  const made = imageOfV5(entries, { repeats: n => (n % 1000 === 7 ? n % 5 : undefined) });
  const pieces = [...emitV5(planOfV5(made))];
  for (const piece of pieces) t.ok(piece.length <= WINDOW);
  const image = Buffer.concat(pieces);
  t.ok(image.equals(due(made)));
  return image;
};

t.test('files whose chunks fill many pieces', async t => {
  const entries = [1, 9001, 40_001, 40, 3000].flatMap((count, i) => [
    entryOf('file', `f${i}`, { size: 4096 * count - 5 }),
    entryOf('hardlink', `d/h${i}`, { target: `f${i}`, uid: i }),
    entryOf('symlink', `s${i}`, { target: 'x'.repeat(4000 + i) }),
  ]);
  t.ok(check(t, entries).length > 30 * WINDOW);
});

t.test('a table of inodes larger than a piece', async t => {
  const entries = Array.from({ length: 70_001 }, (_, i) =>
    entryOf(i % 7 === 0 ? 'directory' : 'fifo', `d${i % 300}/x${i}`),
  );
  check(t, entries);
});

t.test('an inode larger than a piece is one piece', async t => {
  const xattrs = new Map(
    Array.from({ length: 8 }, (_, i) => [`user.${i}`, randomBytes(0x10000, i)]),
  );
  const made = imageOfV5([entryOf('file', 'x', { xattrs, size: 5 }), entryOf('fifo', 'y')]);
  const pieces = [...emitV5(planOfV5(made))];
  t.ok(Buffer.concat(pieces).equals(due(made)));
  t.ok(Math.max(...pieces.map(piece => piece.length)) > 8 * 0x10000);
});

t.test('an image of nothing', async t => {
  const image = written(imageOfV5([]));
  t.equal(image.length, 8192 + 8 + 128 + 8);
  t.ok(image.equals(due(imageOfV5([]))));
});

t.test('a chunk index over 24 bits is LIMIT', async t => {
  const made = imageOfV5([entryOf('file', 'f', { size: 1 })]);
  made.chunks.index.data[0] = 0xffffff;
  t.throws(() => written(made), { name: 'RafsError', code: 'LIMIT', message: /16777215/ });
  made.chunks.index.data[0] = 0xfffffe;
  t.equal(written(made).readUInt32LE(written(made).length - 8), 0xfffffe);
});

t.test('the longest target that Linux has', async t => {
  const link = imageOfV5([entryOf('symlink', 's', { target: 'x'.repeat(4095) })]);
  t.ok(written(link).equals(due(link)));
});
