import fc from 'fast-check';
import t from 'tap';
import { encodeXattrsV5, readXattrsV5, xattrSpace } from '../../../../lib/bootstrap/v5/xattrs.js';
import { failure } from '../../../support/images/golden.js';

const read = (area: Buffer, size = area.readUInt32LE(0)): Map<string, Buffer> =>
  readXattrsV5(area, 8, 8 + size);

t.test('bytes of an area', async t => {
  const xattrs = new Map([
    ['user.a', Buffer.from('xyz')],
    ['trusted.b', Buffer.alloc(0)],
  ]);
  const area = encodeXattrsV5(xattrs);
  t.equal(
    area.toString('hex'),
    '1c00000000000000' +
      '0a000000' +
      Buffer.from('user.a\0xyz').toString('hex') +
      '0a000000' +
      Buffer.from('trusted.b\0').toString('hex') +
      '00000000',
  );
  t.equal(xattrSpace(area), 32);
  t.equal(xattrSpace(undefined), 0);
});

t.test('what is written is read', async () => {
  const key = fc
    .tuple(
      fc.constantFrom('user.', 'security.', 'trusted.', 'system.posix_acl_access'),
      fc.string({ maxLength: 20 }).filter(text => !text.includes('\0')),
    )
    .map(parts => Buffer.from(parts.join('')).toString('latin1'));
  const value = fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 6 }), pairs => {
      const xattrs = new Map(pairs);
      const got = read(encodeXattrsV5(xattrs));
      return (
        [...got.keys()].join('\n') === [...xattrs.keys()].join('\n') &&
        [...got].every(([name, bytes]) => bytes.equals(xattrs.get(name)!))
      );
    }),
  );
});

t.test('limits of names and values', async t => {
  const one = (key: string, size: number) => encodeXattrsV5(new Map([[key, Buffer.alloc(size)]]));
  t.equal(one(`user.${'k'.repeat(250)}`, 0x10000).length, 8 + 4 + 256 + 0x10000 + 4);
  t.throws(() => one(`user.${'k'.repeat(251)}`, 0), { code: 'LIMIT' });
  t.throws(() => one('user.k', 0x10001), { code: 'LIMIT' });
  t.throws(() => one('other.k', 1), { code: 'UNSUPPORTED', message: /other\.k/ });
});

t.test('areas that make no sense', async t => {
  const good = encodeXattrsV5(
    new Map([
      ['user.a', Buffer.from('1')],
      ['user.b', Buffer.from('2')],
    ]),
  );
  const wrong = (what: string, change: (area: Buffer) => void, message: RegExp): void => {
    const area = Buffer.from(good);
    change(area);
    t.throws(() => read(area), { name: 'RafsError', code: 'CORRUPT', message }, what);
  };
  wrong('a pair too long', area => area.writeUInt32LE(100, 8), /past the end of its area/);
  wrong(
    'a pair of all sizes',
    area => area.writeUInt32LE(0xffffffff, 8),
    /past the end of its area/,
  );
  wrong('an empty pair', area => area.writeUInt32LE(0, 8), /has no name/);
  wrong('no NUL', area => area.writeUInt32LE(6, 8), /has no name/);
  wrong('no name', area => area.writeUInt8(0, 12), /has no name/);
  wrong('a name twice', area => area.write('a', 8 + 12 + 4 + 5, 'latin1'), /occurs twice/);
  wrong('a cut head', area => area.writeUInt32LE(14, 0), /past the end of its area/);
  for (let size = 0; size < good.length - 8; size++) {
    const error = failure(() => read(good, size));
    t.equal(error === undefined, [0, 12, 24].includes(size), `cut at ${size}`);
  }
});
