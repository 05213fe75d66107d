import fc from 'fast-check';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import {
  checkSize,
  decoderOf,
  encoderOf,
  joined,
  unfit,
  type Field,
} from '../../../lib/layout/struct-code.js';
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

/** A field of every kind. */
const FIELDS = {
  magic: fixed(u16be, 0x1234),
  a: u8,
  b: u16,
  c: u32,
  d: u64,
  e: u16be,
  f: u32be,
  g: u64be,
  gap: pad(3),
  name: text(9),
  raw: bytes(5),
  bits: flags(u32, { ONE: 1, HIGH: 0x8000_0000 }),
  word: bits64({ low: 20, across: 20, high: 24 }),
  tail: pad(61),
};
const compiled = struct('Every', 121, FIELDS);
type Every = Parameters<typeof compiled.encode>[0];

const GOOD: Every = {
  a: 1,
  b: 2,
  c: 3,
  d: 4,
  e: 5,
  f: 6,
  g: 7,
  name: 'name',
  raw: Buffer.from('bytes'),
  bits: 1,
  word: { low: 1, across: 2, high: 3 },
};

/** Calls `use` for each field and its offset, and says which one failed. */
const eachField = (
  placeOf: (at: number) => object,
  use: (key: string, field: Field<unknown>, at: number) => void,
): void => {
  let at = 0;
  for (const [key, field] of Object.entries(FIELDS) as [string, Field<unknown>][]) {
    try {
      use(key, field, at);
    } catch (error) {
      if (!(error instanceof RafsError)) throw error;
      const place = { record: 'Every', field: key, ...placeOf(at) };
      throw new RafsError(error.code, error.message, place);
    }
    at += field.size;
  }
};

/** The same record, read and written by a loop over its fields. */
const looping = {
  encodeInto(buf: Buffer, start: number, value: Every): void {
    const values: Record<string, unknown> = value;
    eachField(
      () => ({}),
      (key, field, at) => field.write(buf, start + at, values[key]),
    );
  },
  decode(buf: Buffer): unknown {
    const value: Record<string, unknown> = {};
    eachField(
      at => ({ offset: at }),
      (key, field, at) => {
        const read = field.read(buf, at);
        if (!('isSilent' in field)) value[key] = read;
      },
    );
    return value;
  },
};

/** What comes of something: its result, or all that is told of its failure. */
const outcome = (make: () => unknown): unknown => {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof RafsError)) return String(error);
    return { code: error.code, message: error.message, at: error.at };
  }
};

const anyNumber = fc.oneof(
  fc.nat(0xff),
  fc.maxSafeInteger(),
  fc.double(),
  fc.constantFrom(0xffff, 0x10000, 0xffff_ffff, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -1, NaN),
);
const someValue = fc.record({
  key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'bits'),
  number: anyNumber,
});

t.test('compiled code writes and refuses what the loop does', async t => {
  fc.assert(
    fc.property(someValue, fc.nat(8), fc.nat(11), ({ key, number }, rawSize, nameSize) => {
      const value = {
        ...GOOD,
        [key]: number,
        raw: Buffer.alloc(rawSize < 3 ? rawSize : 5, 1),
        name: 'x'.repeat(nameSize),
      };
      const [byLoop, byCode] = [looping, compiled].map(record => {
        const target = Buffer.alloc(130, 0xa5);
        return outcome(() => (record.encodeInto(target, 4, value), target.toString('hex')));
      });
      t.same(byCode, byLoop);
    }),
    { numRuns: 1000 },
  );
});

t.test('compiled code reads and refuses what the loop does', async t => {
  const good = compiled.encode(GOOD);
  fc.assert(
    fc.property(fc.nat(120), fc.uint8Array({ maxLength: 9 }), (at, changes) => {
      const image = Buffer.from(good);
      image.set(changes.subarray(0, image.length - at), at);
      const [byLoop, byCode] = [looping, compiled].map(record =>
        outcome(() => record.decode(image)),
      );
      t.same(byCode, byLoop);
    }),
    { numRuns: 1000 },
  );
  t.same(compiled.decode(good), GOOD);
  t.same(Object.keys(compiled.decode(good)), Object.keys(GOOD), 'in the order of the fields');
});

t.test('fields of a form are written out, others are called', async t => {
  const called: string[] = [];
  const field = {
    size: 1,
    read: (): string => (called.push('read'), 'value'),
    write: (_: Buffer, at: number, value: unknown) =>
      void called.push(`write ${String(value)} at ${at}`),
  };
  const list = [
    { key: 'plain', at: 0, field: u8, isSilent: false },
    { key: "it's", at: 1, field, isSilent: false },
    { key: 'silent', at: 2, field, isSilent: true },
  ];
  const located = (error: unknown, index: number, at: number): unknown =>
    new Error(`${(error as Error).message}; field ${index} of the record at ${at}`);
  const target = Buffer.alloc(8);
  encoderOf(list, located)(target, 5, { plain: 9, "it's": 'one', silent: 'two' });
  t.same([...target], [0, 0, 0, 0, 0, 9, 0, 0]);
  t.same(called.splice(0), ['write one at 6', 'write undefined at 7']);
  t.same(decoderOf(list, located)(target, 5), { plain: 9, "it's": 'value' });
  t.same(called, ['read', 'read']);
  t.throws(() => encoderOf(list, located)(target, 5, { plain: 256 }), {
    message: '256 does not fit in 8 bits; field 0 of the record at 5',
  });
});

t.test('numbers and sizes', async t => {
  t.equal(joined(0xffff_ffff, 0x1f_ffff), Number.MAX_SAFE_INTEGER);
  t.throws(() => joined(0, 0x20_0000), { code: 'CORRUPT' });
  t.match(unfit(256, 8), { code: 'LIMIT', message: '256 does not fit in 8 bits' });
  checkSize(Buffer.alloc(4), 4);
  t.throws(() => checkSize(Buffer.alloc(3), 4), {
    code: 'LIMIT',
    message: 'expected 4 bytes, got 3',
  });
});
