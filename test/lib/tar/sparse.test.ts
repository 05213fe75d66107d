import fc from 'fast-check';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import type { DataPart, HolePart } from '../../../lib/model/parts.js';
import {
  SparseExpander,
  checkSparseMap,
  gnuSparseMap,
  paxSparseMap,
  type SparseMap,
} from '../../../lib/tar/sparse.js';
import { memberOf } from '../../support/tar/tar.js';

const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;

/** A sparse file: stretches of holes and of bytes that are not zero. */
const sparseFile = fc
  .array(fc.record({ hole: fc.nat(200000), size: fc.nat(3000) }), { maxLength: 8 })
  .chain(runs => fc.tuple(fc.constant(runs), fc.nat(200000)))
  .map(([runs, tail]) => {
    const extents: number[] = [];
    const pieces: Buffer[] = [];
    const stored: Buffer[] = [];
    let offset = 0;
    for (const { hole, size } of runs) {
      const bytes = Buffer.alloc(size, 1 + (extents.length % 200));
      extents.push(offset + hole, size);
      pieces.push(Buffer.alloc(hole), bytes);
      stored.push(bytes);
      offset += hole + size;
    }
    const content = Buffer.concat([...pieces, Buffer.alloc(tail)]);
    return { extents, content, stored: Buffer.concat(stored) };
  });

t.test('stored bytes become the content, however they are cut', t => {
  fc.assert(
    fc.property(sparseFile, fc.array(fc.nat(9000), { maxLength: 6 }), (file, cuts) => {
      const { extents, content, stored } = file;
      checkSparseMap(extents, content.length, stored.length);
      const expander = new SparseExpander(extents, content.length);
      const made: (DataPart | HolePart)[] = [];
      let from = 0;
      for (const cut of [...cuts.sort((a, b) => a - b), stored.length]) {
        const to = Math.max(from, Math.min(cut, stored.length));
        made.push(...expander.push(stored.subarray(from, to)));
        from = to;
      }
      made.push(...expander.end());
      const pieces = made.map(part =>
        part.kind === 'hole' ? Buffer.alloc(part.size) : part.bytes,
      );
      t.ok(Buffer.concat(pieces).equals(content));
      t.ok(pieces.every(piece => piece.length > 0));
    }),
    { numRuns: 60 },
  );
  t.end();
});

t.test('maps that do not fit their file', t => {
  const check = (extents: number[], realSize: number, stored: number) => () =>
    checkSparseMap(extents, realSize, stored);
  check([], 0, 0)();
  check([], 100, 0)();
  check([0, 10, 10, 5, 100, 0], 100, 15)();
  for (const [name, bad] of [
    ['overlap', check([0, 10, 5, 10], 100, 20)],
    ['order', check([50, 10, 0, 10], 100, 20)],
    ['behind the end', check([95, 10], 100, 10)],
    ['stored too much', check([0, 10], 100, 11)],
    ['stored too little', check([0, 10], 100, 9)],
    ['no size', check([0, 10, 20], 100, 10)],
    ['no number', check([NaN, 10], 100, 10)],
    ['negative size', check([10, -5], 100, -5)],
    ['too large', check([Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER], 100, 10)],
  ] as const) {
    t.throws(bad, { code: 'CORRUPT' }, name);
  }
  t.end();
});

const pushAll = (map: SparseMap, bytes: Buffer): SparseMap => {
  let at = 0;
  while (!map.complete) {
    if (at >= bytes.length) throw new RafsError('CORRUPT', 'the map has no end');
    map.push(bytes.subarray(at, (at += 512)));
  }
  return map;
};

t.test('maps in front of the content', t => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.maxSafeNat(), fc.nat(999)), { maxLength: 90 }), pairs => {
      const numbers = pairs.flat();
      const text = [pairs.length, ...numbers].map(n => `${n}\n`).join('');
      const bytes = Buffer.alloc(Math.ceil(text.length / 512) * 512);
      bytes.write(text);
      const map = pushAll(paxSparseMap({ major: 1, minor: 0, realSize: 5 }), bytes);
      t.strictSame(map.extents, numbers);
      t.equal(map.size, bytes.length);
      t.equal(map.realSize, 5);
    }),
  );
  for (const [text, code] of [
    ['x\n', 'CORRUPT'],
    ['\n', 'CORRUPT'],
    ['1\n0\n-5\n', 'CORRUPT'],
    ['1\n0\n5', 'CORRUPT'],
    ['99999999999999999\n', 'CORRUPT'],
    ['9999999\n', 'LIMIT'],
    [`1\n${'1'.repeat(600)}\n`, 'CORRUPT'],
  ] as const) {
    const bytes = Buffer.alloc(1024);
    bytes.write(text);
    const read = () => pushAll(paxSparseMap({ major: 1, minor: 0, realSize: 5 }), bytes);
    t.throws(read, { code }, JSON.stringify(text.slice(0, 20)));
  }
  const long = Buffer.from(`1000000\n${'0\n'.repeat(1_000_000)}`);
  t.throws(() => pushAll(paxSparseMap({ major: 1, minor: 0, realSize: 5 }), long), {
    code: 'LIMIT',
  });
  t.end();
});

t.test('maps in PAX records', t => {
  const map = paxSparseMap({ realSize: 9, extents: [0, 4], extentCount: 1 });
  t.strictSame([map.complete, map.size, map.extents, map.realSize], [true, 0, [0, 4], 9]);
  t.throws(() => paxSparseMap({ realSize: 9, extents: [0, 4], extentCount: 2 }), {
    code: 'CORRUPT',
  });
  t.throws(() => paxSparseMap({ extents: [0, 4] }), { code: 'CORRUPT' });
  for (const [major, minor] of [
    [0, 2],
    [1, 1],
    [2, 0],
  ] as const) {
    t.throws(() => paxSparseMap({ realSize: 9, major, minor }), {
      code: 'UNSUPPORTED',
      message: new RegExp(`${major}\\.${minor}`),
    });
  }
  t.end();
});

t.test('maps in GNU headers, which end at a blank extent', t => {
  const header = memberOf({
    name: 's',
    type: 'S',
    magic: 'gnu',
    patch: h => {
      h.write([0, 512, 1024, 5].map(octal).join(''), 386);
      h[482] = 1;
      h.write(octal(5000), 483);
    },
  });
  const map = gnuSparseMap(header, 0);
  t.strictSame([map.complete, map.realSize, map.extents], [false, 5000, [0, 512, 1024, 5]]);
  const extension = Buffer.alloc(512);
  const more = Array.from({ length: 21 }, (_, i) => [2000 + i * 10, 3]).flat();
  extension.write(more.map(octal).join(''));
  extension[504] = 1;
  map.push(extension);
  t.equal(map.complete, false);
  map.push(Buffer.alloc(512));
  t.equal(map.complete, true);
  t.strictSame(map.extents, [0, 512, 1024, 5, ...more]);
  t.equal(map.size, 0, 'the map is no part of the stored size');

  const junk = Buffer.from(header);
  junk.write('nonsense', 386 + 12);
  t.throws(() => gnuSparseMap(junk, 0), { code: 'CORRUPT' });
  const endless = gnuSparseMap(header, 0);
  t.throws(
    () => {
      for (let i = 0; i < 3000; i++) endless.push(extension);
    },
    { code: 'LIMIT' },
  );
  t.end();
});
