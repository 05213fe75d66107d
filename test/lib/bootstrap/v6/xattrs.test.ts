import fc from 'fast-check';
import t from 'tap';
import { encodeXattrs } from '../../../../lib/bootstrap/v6/xattrs.js';
import { readXattrs } from '../../../support/peers/erofs-walker.js';

const PREFIXES = [
  'user.',
  'trusted.',
  'security.',
  'system.posix_acl_access',
  'system.posix_acl_default',
];
const latin1 = fc
  .array(fc.integer({ min: 1, max: 255 }), { maxLength: 200, size: 'max' })
  .map(codes => String.fromCharCode(...codes));
const key = fc.tuple(fc.constantFrom(...PREFIXES), latin1).map(([prefix, rest]) => prefix + rest);
const value = fc.uint8Array({ maxLength: 300, size: 'max' }).map(bytes => Buffer.from(bytes));

t.test('an independent reader sees the same names and values', async t => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 20, size: 'max' }),
      pairs => {
        const xattrs = new Map(pairs);
        const { bytes, icount } = encodeXattrs(xattrs);
        t.equal(bytes.length, 12 + 4 * (icount - 1));
        t.same([...readXattrs(bytes, icount)], [...xattrs], 'also in their order');
      },
    ),
  );
});

t.test('the bytes are those of nydus-image', async t => {
  const value = Buffer.from('0100000200040000000000000000000000000000', 'hex');
  const { bytes, icount } = encodeXattrs(new Map([['security.capability', value]]));
  t.equal(
    bytes.toString('hex'),
    '000000000000000000000000' +
      '0a061400' +
      Buffer.from('capability').toString('hex') +
      value.toString('hex') +
      '0000',
  );
  t.equal(icount, 10);
});

t.test('limits of names, values and their sum', async t => {
  const encode =
    (key: string, size: number, count = 1) =>
    () =>
      encodeXattrs(
        new Map(
          Array.from({ length: count }, (_, i) => [i ? `${key}${i}` : key, Buffer.alloc(size)]),
        ),
      );
  const long = `user.${'x'.repeat(250)}`;
  t.equal(encode(long, 0xffff)().bytes.length, 12 + 4 + 250 + 0xffff + 3);
  t.throws(encode(`${long}x`, 0), { name: 'RafsError', code: 'LIMIT', message: /256 bytes/ });
  t.throws(encode('user.x', 0x10000), { name: 'RafsError', code: 'LIMIT', message: /65536/ });
  t.equal(encode('user.x', 65200, 4)().icount <= 0xffff, true);
  t.throws(encode('user.x', 65500, 5), { name: 'RafsError', code: 'LIMIT' });
});

t.test('a name without a known prefix is UNSUPPORTED', async t => {
  for (const key of ['', 'user', 'users.x', 'system.x', 'lustre.lov', 'USER.x']) {
    t.throws(() => encodeXattrs(new Map([[key, Buffer.alloc(0)]])), {
      name: 'RafsError',
      code: 'UNSUPPORTED',
      message: new RegExp(`'${key}'`),
    });
  }
});

t.test('padding is zero', async t => {
  for (let size = 0; size < 9; size++) {
    const { bytes } = encodeXattrs(new Map([['user.a', Buffer.alloc(size, 0xff)]]));
    t.equal(bytes.length % 4, 0);
    t.ok(bytes.subarray(12 + 4 + 1 + size).every(byte => byte === 0));
  }
});
