import fc from 'fast-check';
import t from 'tap';
import {
  bits64,
  bytes,
  fixed,
  flags,
  pad,
  struct,
  text,
  u16,
  u16be,
  u32,
  u32be,
  u64,
  u64be,
  u8,
} from '../../../lib/layout/struct.js';
import type { Field } from '../../../lib/layout/struct-code.js';

const Flag = { ONE: 0x1, FOUR: 0x4, HIGH: 0x8000_0000 } as const;
const FlagWide = { LOW: 0x2, WIDE: 2 ** 40 } as const;

/** One field of every kind, so that each has something before and behind it. */
const All = struct('All', 88, {
  magic: fixed(u32, 0xe0f5e1e2),
  a: u8,
  b: u16,
  gap: pad(5),
  c: u32,
  d: u64,
  name: text(16),
  raw: bytes(7),
  e: flags(u32, Flag),
  f: flags(u64, FlagWide),
  word: bits64({ reserved: 8, sizeHigh: 4, offset4k: 32, sizeLow: 20 }),
  big: bits64({ low: 11, wide: 53 }),
  last: u8,
  magic2: fixed(u64, 0x0010_2030_4050_6070),
  tail: pad(4),
});

const allValues = fc.record({
  a: fc.nat(0xff),
  b: fc.nat(0xffff),
  c: fc.integer({ min: 0, max: 0xffff_ffff }),
  d: fc.maxSafeNat(),
  name: fc
    .array(fc.integer({ min: 1, max: 255 }), { maxLength: 16, size: 'max' })
    .map(codes => String.fromCharCode(...codes)),
  raw: fc.uint8Array({ minLength: 7, maxLength: 7 }).map(array => Buffer.from(array)),
  e: fc.subarray(Object.values(Flag)).map(bits => bits.reduce<number>((sum, bit) => sum + bit, 0)),
  f: fc
    .subarray(Object.values(FlagWide))
    .map(bits => bits.reduce<number>((sum, bit) => sum + bit, 0)),
  word: fc.record({
    reserved: fc.nat(0xff),
    sizeHigh: fc.nat(0xf),
    offset4k: fc.integer({ min: 0, max: 0xffff_ffff }),
    sizeLow: fc.nat(0xfffff),
  }),
  big: fc.record({ low: fc.nat(0x7ff), wide: fc.maxSafeNat() }),
  last: fc.nat(0xff),
});

t.test('decoding gives back what was encoded, anywhere in a buffer', async t => {
  fc.assert(
    fc.property(allValues, fc.nat(50), fc.nat(50), (value, before, behind) => {
      const buf = Buffer.alloc(before + All.size + behind, 0xa5);
      All.encodeInto(buf, before, value);
      t.same(All.decode(buf, before), value);
      t.ok(All.encode(value).equals(buf.subarray(before, before + All.size)));
      // the neighbours are untouched
      t.ok(buf.subarray(0, before).every(byte => byte === 0xa5));
      t.ok(buf.subarray(before + All.size).every(byte => byte === 0xa5));
    }),
  );
});

t.test('golden bytes, both ways', async t => {
  const hex =
    'e2e1f5e0' + // magic
    '12' + // a
    '3412' + // b
    '0000000000' + // gap
    '78563412' + // c
    '0807060504030200' + // d, below 2^53
    '696d6167652e626f6f74000000000000' + // name
    '01020304050607' + // raw
    '05000080' + // e
    '0200000000010000' + // f
    '11f2deadbeeff9de'; // checked against BigInt below
  const value = {
    a: 0x12,
    b: 0x1234,
    c: 0x12345678,
    d: 0x2030405060708,
    name: 'image.boot',
    raw: Buffer.from('01020304050607', 'hex'),
    e: Flag.ONE + Flag.FOUR + Flag.HIGH,
    f: FlagWide.LOW + FlagWide.WIDE,
    word: { reserved: 0x11, sizeHigh: 0x2, offset4k: 0xfbeaddef, sizeLow: 0xdef9e },
    big: { low: 0x7ff, wide: 2 ** 53 - 1 },
    last: 0x99,
  };
  const word = 0x11n | (0x2n << 8n) | (0xfbeaddefn << 12n) | (0xdef9en << 44n);
  const wordBytes = Buffer.alloc(8);
  wordBytes.writeBigUInt64LE(word);
  const image =
    hex.slice(0, -16) +
    wordBytes.toString('hex') +
    'ffffffffffffffff' +
    '99' +
    '7060504030201000' +
    '00000000';
  t.equal(All.encode(value).toString('hex'), image);
  t.same(All.decode(Buffer.from(image, 'hex')), value);
});

t.test('offsets follow from the order of the fields', async t => {
  t.match(All.offsets, { magic: 0, a: 4, b: 5, gap: 7, c: 12, d: 16, name: 24, raw: 40, e: 47 });
  t.equal(All.offsets.tail + 4, All.size);
  t.equal(All.name, 'All');
});

t.test('a declaration with a wrong sum does not load', async t => {
  t.throws(() => struct('Short', 8, { a: u32 }), { message: 'Short: fields make 4 bytes, not 8' });
  t.throws(() => struct('Long', 3, { a: u32 }), { message: 'Long: fields make 4 bytes, not 3' });
  t.throws(() => bits64({ a: 32, b: 31 }), { message: /63 bits/ });
  t.throws(() => bits64({ a: 54, b: 10 }), { message: /wider than 53/ });
  t.throws(() => bits64({}), { message: /0 bits/ });
});

t.test('a short buffer is CORRUPT, with record and offset', async t => {
  const good = All.encode({ ...ZERO });
  for (const [length, at] of [
    [0, 0],
    [87, 0],
    [88, 1],
    [88, 88],
    [88, 2 ** 40],
    [88, -1],
    [88, NaN],
  ] as const) {
    t.throws(() => All.decode(good.subarray(0, length), at), {
      name: 'RafsError',
      code: 'CORRUPT',
      at: { record: 'All' },
    });
  }
  t.throws(() => All.decode(good.subarray(0, 80), 3), {
    message: 'expected 88 bytes, got 77',
    at: { record: 'All', offset: 3 },
  });
});

const ZERO = {
  a: 0,
  b: 0,
  c: 0,
  d: 0,
  name: '',
  raw: Buffer.alloc(7),
  e: 0,
  f: 0,
  word: { reserved: 0, sizeHigh: 0, offset4k: 0, sizeLow: 0 },
  big: { low: 0, wide: 0 },
  last: 0,
};

t.test('wrong constants, unknown flags and numbers over 2^53 - 1 say where they are', async t => {
  const broken = (field: keyof typeof All.offsets, byte: number, value: number) => {
    const buf = Buffer.concat([Buffer.alloc(9), All.encode(ZERO)]);
    buf[9 + All.offsets[field] + byte] = value;
    return () => All.decode(buf, 9);
  };
  const place = (field: keyof typeof All.offsets) => ({
    name: 'RafsError',
    code: 'CORRUPT',
    at: { record: 'All', field, offset: 9 + All.offsets[field] },
  });
  t.throws(broken('magic', 0, 0), place('magic'));
  t.throws(broken('magic', 0, 0xe3), { message: 'expected 0xe0f5e1e2, got 0xe0f5e1e3' });
  t.throws(broken('magic2', 7, 1), place('magic2'));
  t.throws(broken('magic2', 0, 1), place('magic2'));
  t.throws(broken('d', 6, 0x20), place('d'));
  t.throws(broken('d', 7, 0x80), place('d'));
  t.throws(broken('e', 0, 2), place('e'));
  t.throws(broken('e', 3, 0x40), { message: 'unknown bits in 0x40000000' });
  t.throws(broken('f', 0, 1), place('f'));
  t.throws(broken('f', 5, 2), place('f'));
  t.throws(broken('f', 7, 1), place('f'));
  // padding is not looked at
  t.same(broken('gap', 2, 7)(), ZERO);
  t.same(broken('tail', 3, 7)(), ZERO);
});

t.test('a value that does not fit is LIMIT, with record and field', async t => {
  const unfit = (change: Partial<typeof ZERO>) => () => All.encode({ ...ZERO, ...change });
  const place = (field: string) => ({ code: 'LIMIT', at: { record: 'All', field } });
  for (const bad of [-1, 0.5, NaN, Infinity]) {
    for (const field of ['a', 'b', 'c', 'd', 'e', 'f'] as const) {
      t.throws(unfit({ [field]: bad }), place(field), `${field} ${bad}`);
    }
    t.throws(unfit({ word: { ...ZERO.word, offset4k: bad } }), place('word'));
  }
  t.throws(unfit({ a: 0x100 }), place('a'));
  t.throws(unfit({ a: 0x100 }), { message: '256 does not fit in 8 bits' });
  t.throws(unfit({ b: 0x10000 }), place('b'));
  t.throws(unfit({ c: 2 ** 32 }), place('c'));
  t.throws(unfit({ d: 2 ** 53 }), place('d'));
  t.throws(unfit({ name: 'x'.repeat(17) }), place('name'));
  t.throws(unfit({ raw: Buffer.alloc(6) }), place('raw'));
  t.throws(unfit({ raw: Buffer.alloc(8) }), place('raw'));
  t.throws(unfit({ word: { ...ZERO.word, sizeHigh: 16 } }), place('word'));
  t.throws(unfit({ word: { ...ZERO.word, sizeLow: 2 ** 20 } }), { message: /in 20 bits/ });
  t.throws(unfit({ big: { low: 0, wide: 2 ** 53 } }), place('big'));
  // no room is a mistake of ours, not of the input
  t.throws(() => All.encodeInto(Buffer.alloc(87), 0, ZERO), RangeError);
  t.throws(() => All.encodeInto(Buffer.alloc(100), -1, ZERO), RangeError);
});

t.test('bit fields are those of a 64-bit integer, also across its middle', async t => {
  const widths = fc
    .array(fc.integer({ min: 1, max: 53 }), { minLength: 2, maxLength: 64, size: 'max' })
    .map(wanted => {
      const made: number[] = [];
      let left = 64;
      for (const width of wanted) {
        if (left === 0) break;
        made.push(Math.min(width, left));
        left -= made.at(-1)!;
      }
      while (left > 0) {
        made.push(Math.min(53, left));
        left -= made.at(-1)!;
      }
      return made;
    });
  fc.assert(
    fc.property(widths, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (widths, word) => {
      const field: Field<Record<string, number>> = bits64(
        Object.fromEntries(widths.map((width, i) => [`f${i}`, width])),
      );
      const buf = Buffer.alloc(16);
      buf.writeBigUInt64LE(word, 3);
      const value = field.read(buf, 3);
      let shift = 0n;
      widths.forEach((width, i) => {
        const due = (word >> shift) & (2n ** BigInt(width) - 1n);
        if (BigInt(value[`f${i}`]!) !== due) t.fail(`field ${i} of ${widths.join()}`);
        shift += BigInt(width);
      });
      const back = Buffer.alloc(16);
      field.write(back, 3, value);
      return back.equals(buf);
    }),
    { numRuns: 500 },
  );
});

t.test('integers at their borders, and text of every length', async t => {
  const One = struct('One', 24, { a: u64, name: text(16) });
  for (const a of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52, 2 ** 53 - 1]) {
    const encoded = One.encode({ a, name: '' });
    t.equal(encoded.readBigUInt64LE(0), BigInt(a));
    t.equal(One.decode(encoded).a, a);
  }
  for (let length = 0; length <= 16; length++) {
    const name = '\xff'.repeat(length);
    const buf = Buffer.alloc(One.size, 0x77); // what was there before does not show
    One.encodeInto(buf, 0, { a: 0, name });
    t.equal(One.decode(buf).name, name);
    t.ok(buf.subarray(8 + length).every(byte => byte === 0));
  }
});

t.test('bytes that are read do not change with their source', async t => {
  const One = struct('One', 4, { raw: bytes(4) });
  const buf = Buffer.from('abcd');
  const { raw } = One.decode(buf);
  buf.fill('x');
  t.equal(raw.toString(), 'abcd');
});

t.test('big-endian integers are the bytes the other way round', async t => {
  const Big = struct('Big', 14, { a: u16be, b: u32be, c: u64be });
  const hex = '0102030405060007080910111213';
  const value = { a: 0x0102, b: 0x03040506, c: 0x0007_0809_1011_1213 };
  t.equal(Big.encode(value).toString('hex'), hex);
  t.same(Big.decode(Buffer.from(hex, 'hex')), value);
  const Little = struct('Little', 14, { c: u64, b: u32, a: u16 });
  fc.assert(
    fc.property(
      fc.record({
        a: fc.nat(0xffff),
        b: fc.integer({ min: 0, max: 0xffff_ffff }),
        c: fc.maxSafeNat(),
      }),
      value => {
        const bytes = Big.encode(value);
        t.same(Big.decode(bytes), value);
        t.same(Little.decode(Buffer.from(bytes).reverse()), value);
      },
    ),
    { numRuns: 50 },
  );
  t.throws(() => Big.decode(Buffer.alloc(14, 0xff)), { code: 'CORRUPT', at: { field: 'c' } });
  for (const over of [{ a: 0x10000 }, { b: 2 ** 32 }, { b: -1 }, { c: 2 ** 53 }, { c: 0.5 }]) {
    t.throws(() => Big.encode({ ...value, ...over }), { code: 'LIMIT' });
  }
});
