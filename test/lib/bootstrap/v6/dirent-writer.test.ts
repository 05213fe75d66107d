import fc from 'fast-check';
import t from 'tap';
import { direntsSize, encodeDirents } from '../../../../lib/bootstrap/v6/dirent-writer.js';
import type { EntryType } from '../../../../lib/model/entry.js';
import { Tree } from '../../../../lib/tree/tree.js';
import { entryOf } from '../../../support/images/entries.js';
import { readDirents, type WalkedDirent } from '../../../support/peers/erofs-walker.js';

const TYPES: readonly (readonly [EntryType, number])[] = [
  ['file', 1],
  ['directory', 2],
  ['char', 3],
  ['block', 4],
  ['fifo', 5],
  ['socket', 6],
  ['symlink', 7],
];

/** Data of directory 'd' in the root, whose rows have the nid 1000 more than their number. */
const dataOf = (
  names: readonly string[],
  blockSize: number,
): { data: Buffer; due: WalkedDirent[] } => {
  const tree = new Tree();
  const directory = tree.insert(entryOf('directory', 'd'));
  const due: WalkedDirent[] = [
    { name: '.', nid: 1000 + directory, type: 2 },
    { name: '..', nid: 1000, type: 2 },
  ];
  const rows = names.map((name, i) => {
    const [type, fileType] = TYPES[i % TYPES.length]!;
    const row = tree.insert(entryOf(type, `d/${name}`, type === 'symlink' ? { target: 'x' } : {}));
    due.push({ name, nid: 1000 + row, type: fileType });
    return row;
  });
  const children = Uint32Array.from(rows.sort((a, b) => tree.compareNames(a, b)));
  due.sort((a, b) => (a.name < b.name ? -1 : 1));
  const size = direntsSize(tree, children, blockSize);
  return {
    data: encodeDirents(tree, directory, children, blockSize, size, row => 1000 + row),
    due,
  };
};

/** How the format packs entries: a block is full when the next entry and its name do not fit. */
const sizeOf = (names: readonly string[], blockSize: number): number => {
  let blocks = 0;
  let used = blockSize;
  for (const name of names) {
    if (used + 12 + name.length > blockSize) {
      blocks++;
      used = 0;
    }
    used += 12 + name.length;
  }
  return (blocks - 1) * blockSize + used;
};

// bytes on both sides of '.', and '.' itself, so that names fall before, between and behind the dots
const name = fc
  .oneof(
    fc.array(fc.constantFrom(0x01, 0x21, 0x2d, 0x2e, 0x2e, 0x30, 0xff), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.array(
      fc.integer({ min: 1, max: 255 }).filter(byte => byte !== 0x2f),
      { minLength: 1, maxLength: 255, size: 'max' },
    ),
  )
  .map(codes => String.fromCharCode(...codes))
  .filter(name => name !== '.' && name !== '..');

for (const blockSize of [4096, 512]) {
  t.test(`an independent reader sees the entries, blocks of ${blockSize}`, async t => {
    fc.assert(
      fc.property(fc.uniqueArray(name, { maxLength: 120, size: 'max' }), names => {
        const { data, due } = dataOf(names, blockSize);
        t.same(readDirents(data, blockSize), due);
        t.equal(
          data.length,
          sizeOf(
            due.map(({ name }) => name),
            blockSize,
          ),
        );
      }),
      { numRuns: 60 },
    );
  });
}

t.test('names around the dots', async t => {
  const names = [
    '!x',
    '-x',
    '.-x',
    '. ',
    '.\x01',
    '...',
    '..a',
    '..\x01',
    './'.slice(0, 1) + '0',
    '0',
    '\xff',
    '+',
  ];
  const { data, due } = dataOf(names, 4096);
  t.same(
    readDirents(data, 4096).map(({ name }) => name),
    ['!x', '+', '-x', '.', '.\x01', '. ', '.-x', '..', '..\x01', '...', '..a', '.0', '0', '\xff'],
  );
  t.same(readDirents(data, 4096), due);
});

t.test('an empty directory has its dots, also in the root', async t => {
  const { data } = dataOf([], 4096);
  t.equal(
    data.toString('hex'),
    'e903000000000000180002' + '00' + 'e803000000000000190002' + '00' + '2e2e2e',
  );
  const tree = new Tree();
  const none = new Uint32Array(0);
  const root = encodeDirents(tree, 0, none, 4096, direntsSize(tree, none, 4096), () => 7);
  t.same(readDirents(root, 4096), [
    { name: '.', nid: 7, type: 2 },
    { name: '..', nid: 7, type: 2 },
  ]);
});

t.test('a block that is filled to its last byte, and one byte more', async t => {
  // the dots take 27 bytes; 15 entries of 267 and one of the rest
  const rest = 4096 - 27 - 15 * 267 - 12;
  for (const more of [0, 1]) {
    const names = Array.from({ length: 15 }, (_, i) => `${i + 10}`.padEnd(255, 'x'));
    names.push('z'.repeat(rest + more));
    const { data, due } = dataOf(names, 4096);
    t.equal(data.length, more === 0 ? 4096 : 4096 + 12 + rest + 1);
    t.same(readDirents(data, 4096), due);
  }
});

t.test('twenty-five thousand names', async t => {
  const names = Array.from({ length: 25_000 }, (_, i) => `name-${i}`);
  const { data, due } = dataOf(names, 4096);
  t.same(readDirents(data, 4096).length, 25_002);
  t.same(readDirents(data, 4096), due);
});
