import fc from 'fast-check';
import t from 'tap';
import { inodeSize, planV6 } from '../../../../lib/bootstrap/v6/plan.js';
import { ChunkTable } from '../../../../lib/chunk/chunk-table.js';
import { Tree } from '../../../../lib/tree/tree.js';
import { numbers, randomBytes } from '../../../support/random.js';
import { encodeXattrs } from '../../../../lib/bootstrap/v6/xattrs.js';
import { blobInfo, placedChunk } from '../../../support/images/chunks.js';
import { chunkRecordsOf } from '../../../support/images/compare-image.js';
import { entryOf } from '../../../support/images/entries.js';
import {
  imageOf,
  planOf,
  randomEntries,
  walkOrder,
  type ImageCase,
} from '../../../support/images/images.js';
import { modelLayout } from '../../../support/model/model-layout.js';

const FLAGS = 0x0100_0019;

/** Where the plan differs from the rules of the format, if anywhere. */
const difference = (made: ImageCase): string | undefined => {
  const plan = planOf(made);
  const places = modelLayout(made.model.root, plan);
  for (const [path, node] of walkOrder(made.model.root)) {
    const row = made.tree.find(path);
    const due = places.get(node)!;
    if (plan.offset[row] !== due.offset) {
      return `'${path}' lies at ${plan.offset[row]}, not ${due.offset}`;
    }
    if (plan.ino[row] !== due.ino) return `'${path}' has number ${plan.ino[row]}, not ${due.ino}`;
    if (plan.layout[row] !== due.layout) return `layout of '${path}'`;
    const hasData = node.type === 'directory' || node.type === 'symlink';
    if (hasData && plan.dataOffset[row] !== due.data) return `data of '${path}'`;
  }
  const walk = [...walkOrder(made.model.root)].map(([path]) => made.tree.find(path));
  if (walk.join() !== plan.order.join()) return 'order';
  if (plan.inodeCount !== walk.length) return 'inode count';
  return undefined;
};

for (const tarfs of [false, true]) {
  t.test(`places of random layers, ${tarfs ? 'tarfs' : 'blocks of 4 KiB'}`, async () => {
    fc.assert(
      fc.property(
        randomEntries(),
        fc.constantFrom(0x1000, 0x10000, 0x100000),
        (entries, chunkSize) => {
          const wrong = difference(imageOf(entries, { chunkSize, tarfs }));
          if (wrong) throw new Error(wrong);
        },
      ),
      { numRuns: 150 },
    );
  });
}

t.test('places of a layer with many tails', async t => {
  // directories of all sizes leave tails of all sizes, which files and symlinks fill
  const entries = Array.from({ length: 4000 }, (_, i) => {
    const directory = `d${i % 97}`;
    if (i % 3 === 0)
      return entryOf('symlink', `${directory}/s${i}`, {
        target: 'x'.repeat(((i * 37) % 4095) + 1),
      });
    if (i % 3 === 1) return entryOf('file', `${directory}/f${i}`, { size: (i * 997) % 200_000 });
    return entryOf('directory', `${directory}/${'n'.repeat(1 + (i % 200))}${i}`);
  });
  t.equal(difference(imageOf(entries)), undefined);
});

t.test('the regions follow one another', async () => {
  fc.assert(
    fc.property(
      randomEntries(20),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      (entries, blobCount, tarfs) => {
        const made = imageOf(entries, { blobCount, tarfs, prefetch: ['/a', '/', '/none'] });
        const plan = planOf(made);
        const count = made.blobs.length;
        const up = (value: number): number => Math.ceil(value / 4096) * 4096;
        const used = up(plan.inodesEnd) === plan.chunkTableOffset;
        return (
          plan.blobTableOffset === up(1408 + 128 * count) &&
          plan.prefetchOffset === plan.blobTableOffset + 256 * count &&
          plan.metaOffset ===
            (count === 0 ? 0 : up(plan.prefetchOffset + 4 * plan.prefetchNids.length)) &&
          used &&
          plan.size === up(plan.chunkTableOffset + 80 * plan.chunkOrder.length) &&
          plan.offset[0] === 4096
        );
      },
    ),
    { numRuns: 60 },
  );
});

t.test('the chunk table: by digest and blob, and of equal keys the last', async t => {
  fc.assert(
    fc.property(
      randomEntries(),
      fc.infiniteStream(fc.option(fc.nat(30), { nil: undefined })),
      (entries, repeats) => {
        const made = imageOf(entries, {
          blobCount: 3,
          repeats: () => repeats.next().value as number | undefined,
        });
        const plan = planOf(made);
        const rows = [...plan.chunkOrder].map(row => {
          const { digest, blobIndex, index } = made.placed[row]!;
          return `${digest.toString('hex')} ${blobIndex} ${index}`;
        });
        t.same(rows, chunkRecordsOf(made));
      },
    ),
    { numRuns: 60 },
  );
});

t.test('chunks of equal digest in one blob: the last that the walk meets stays', async t => {
  const tree = new Tree();
  const chunks = new ChunkTable();
  const digest = Buffer.alloc(32, 5);
  const add = (path: string, list: number[]): void => {
    const row = tree.insert(entryOf('file', path, { size: 4096 * list.length }));
    tree.setChunks(row, chunks.lists.length, list.length);
    for (const chunk of list) chunks.lists.push(chunk);
  };
  const first = chunks.add(placedChunk(0, { digest }));
  const second = chunks.add(placedChunk(1, { digest }));
  const elsewhere = chunks.add(placedChunk(2, { digest, blobIndex: 1 }));
  const unused = chunks.add(placedChunk(3));
  add('z', [first, elsewhere]);
  add('a', [first, first, second]);
  add('b', [second, second]);
  const plan = planV6(tree, chunks, [blobInfo(), blobInfo({ id: 'c'.repeat(64) })], {
    chunkSize: 4096,
    flags: FLAGS,
  });
  // 'z' is met last: its chunk wins over those of 'a' and 'b', though they were made later
  t.same([...plan.chunkOrder], [first, elsewhere]);
  t.equal(plan.chunkFileOffset[first], 0);
  t.equal(plan.chunkFileOffset[elsewhere], 4096);
  t.notOk([...plan.chunkOrder].includes(unused));
});

t.test('chunks whose digests begin alike are in the order of all their bytes', async t => {
  const next = numbers(7);
  for (const count of [1, 2, 300, 5000]) {
    const tree = new Tree();
    const chunks = new ChunkTable();
    const digests = Array.from({ length: count }, (_, i) => {
      const digest = randomBytes(32, i);
      // few beginnings, the highest bit among them, and differences at any place behind
      digest.writeUInt32BE([0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff][next(5)]!);
      return digest;
    });
    const row = tree.insert(entryOf('file', 'a', { size: 4096 * count }));
    tree.setChunks(row, 0, count);
    digests.forEach((digest, i) => chunks.lists.push(chunks.add(placedChunk(i, { digest }))));
    const plan = planV6(tree, chunks, [blobInfo()], { chunkSize: 4096, flags: FLAGS });
    t.same(
      [...plan.chunkOrder].map(chunk => digests[chunk]!.toString('hex')),
      digests.map(digest => digest.toString('hex')).sort(),
      `${count} chunks`,
    );
  }
});

t.test('flags are found in the tree and the blobs', async t => {
  const flagsOf = (made: ImageCase): number => planOf(made).flags - FLAGS;
  const file = entryOf('file', 'f', { size: 1 });
  t.equal(flagsOf(imageOf([])), 0x100, 'no blob lacks its digests');
  t.equal(flagsOf(imageOf([file])), 0);
  t.equal(flagsOf(imageOf([file], { tarfs: true })), 0x200);
  const xattrs = new Map([['user.a', Buffer.from('1')]]);
  t.equal(flagsOf(imageOf([{ ...file, xattrs }])), 0x20);
  t.equal(flagsOf(imageOf([{ ...file, xattrs }, file])), 0, 'what was replaced does not count');
  const inlined = imageOf([file]);
  inlined.blobs = inlined.blobs.map(blob => ({ ...blob, features: blob.features + 0x20 }));
  t.equal(flagsOf(inlined), 0x100);
});

t.test('prefetch: exact paths in their order, no empty files, nothing without blobs', async t => {
  const entries = [
    entryOf('file', 'a', { size: 10 }),
    entryOf('file', 'empty'),
    entryOf('directory', 'd'),
    entryOf('symlink', 'd/s', { target: 'a' }),
  ];
  const prefetch = ['/d/s', '/none', '/', '/empty', 'a', '/d', '/d/'];
  const made = imageOf(entries, { prefetch });
  const plan = planOf(made);
  const nid = (path: string): number => plan.offset[made.tree.find(path)]! / 32;
  t.same(plan.prefetchNids, [nid('d/s'), 128, nid('a'), nid('d')]);
  t.same(planOf(imageOf(entries.slice(1), { prefetch })).prefetchNids, []);
});

t.test('device addresses follow the image in steps of 512 KiB', async t => {
  const made = imageOf([entryOf('file', 'f', { size: 1 })]);
  made.blobs = [1, 4096, 0x80000, 0x80001, 4095].map((uncompressedSize, i) =>
    blobInfo({ id: `blob${i}`, uncompressedSize }),
  );
  const { size, mappedBlkaddrs } = planOf(made);
  t.equal(size, 20480);
  t.same(mappedBlkaddrs, [128, 128, 256, 384, 512]);
});

t.test('limits', async t => {
  const tree = new Tree();
  const refuse = (blobs: ReturnType<typeof blobInfo>[], message: RegExp): void => {
    t.throws(() => planV6(tree, new ChunkTable(), blobs, { chunkSize: 4096, flags: FLAGS }), {
      name: 'RafsError',
      code: 'LIMIT',
      message,
    });
  };
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => blobInfo({ id: `b${i}` }));
  refuse(many(255), /255 blobs/);
  t.equal(
    planV6(tree, new ChunkTable(), many(254), { chunkSize: 4096, flags: FLAGS }).blobs.length,
    254,
  );
  refuse([blobInfo({ id: '' })], /blob id ''/);
  refuse([blobInfo({ id: 'x'.repeat(65) })], /blob id/);
  refuse([blobInfo({ uncompressedSize: 2 ** 44 })], /more than the format can address/);
});

t.test('size of an inode', async t => {
  t.equal(inodeSize(undefined), 64);
  t.equal(inodeSize(encodeXattrs(new Map([['user.a', Buffer.from('1')]]))), 64 + 12 + 8);
});

t.test('thirty thousand entries in a hundred directories', async t => {
  const entries = Array.from({ length: 30_000 }, (_, i) =>
    entryOf('file', `d${i % 100}/f${i}`, { size: 1 + (i % 9000) }),
  );
  t.equal(difference(imageOf(entries)), undefined);
});
