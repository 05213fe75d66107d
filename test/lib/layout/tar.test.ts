import fc from 'fast-check';
import t from 'tap';
import { UstarHeader, readNumber, readOctal } from '../../../lib/layout/tar.js';

const latin1 = (text: string) => Buffer.from(text, 'latin1');

t.test('fields are where other software looks for them', t => {
  const { name, mode, uid, gid, size, mtime, checksum, type, linkName } = UstarHeader.offsets;
  t.strictSame(
    [name, mode, uid, gid, size, mtime, checksum, type, linkName],
    [0, 100, 108, 116, 124, 136, 148, 156, 157],
  );
  const { magic, version, userName, groupName, devMajor, devMinor, prefix } = UstarHeader.offsets;
  t.strictSame(
    [magic, version, userName, groupName, devMajor, devMinor, prefix],
    [257, 263, 265, 297, 329, 337, 345],
  );
  t.end();
});

t.test('octal numbers', t => {
  for (const [text, value] of [
    ['0000644\0', 0o644],
    ['0000644 ', 0o644],
    ['    644 ', 0o644],
    ['\x00000644\0', 0o644],
    ['77777777', 0o77777777],
    ['644\0junk', 0o644],
    ['644 junk', 0o644],
    ['\0\0\0\0\0\0\0\0', 0],
    ['        ', 0],
  ] as const) {
    t.equal(readOctal(latin1(text), 0, 8), value, JSON.stringify(text));
    t.equal(readNumber(latin1(`__${text}77`), 2, 8), value, JSON.stringify(text));
  }
  for (const text of ['0000648\0', '-000001\0', '0x12\0\0\0\0', 'abcdefgh', '12+4\0\0\0\0']) {
    t.ok(Number.isNaN(readNumber(latin1(text), 0, 8)), JSON.stringify(text));
  }
  t.end();
});

t.test('base-256 numbers are big-endian two-complement without their first bit', t => {
  const bound = BigInt(Number.MAX_SAFE_INTEGER);
  fc.assert(
    fc.property(fc.bigInt(-bound, bound), fc.constantFrom(8, 12), (value, size) => {
      const field = Buffer.alloc(size, value < 0n ? 0xff : 0);
      for (let i = size - 1, rest = value; i > 0; i--, rest >>= 8n) field[i] = Number(rest & 0xffn);
      field[0] = value < 0n ? 0xff : 0x80;
      return readNumber(field, 0, size) === Number(value);
    }),
  );
  t.end();
});
