import fc from 'fast-check';
import t from 'tap';
import { TarType } from '../../../lib/layout/tar.js';
import {
  checkHeader,
  deviceMajor,
  deviceMinor,
  makeDevice,
  paxHeader,
  readDevice,
  readHeader,
  readLinkName,
  readSectionHeader,
  sectionHeader,
  ustarHeader,
} from '../../../lib/tar/header.js';
import { memberOf } from '../../support/tar/tar.js';

const latin1 = (text: string) => Buffer.from(text, 'latin1');

t.test('the header of a blob section, byte for byte', t => {
  const expected = Buffer.alloc(512);
  expected.write('image.blob');
  expected.write('00000001234\0', 124);
  expected.write('00000000000\0', 136);
  expected.write('0', 156);
  expected.write('ustar  \0', 257);
  const sum = expected.reduce((a, b) => a + b) + 8 * 0x20;
  expected.write(`${sum.toString(8).padStart(7, '0')}\0`, 148);
  t.same(sectionHeader('image.blob', 0o1234), expected);
  t.strictSame(readSectionHeader(expected), { name: 'image.blob', size: 0o1234 });
  t.end();
});

t.test('section sizes from 8 GiB on are in base-256', t => {
  const field = (size: number) => sectionHeader('x', size).subarray(124, 136).toString('hex');
  t.equal(field(0x2_0000_0000 - 1), latin1('77777777777\0').toString('hex'));
  t.equal(field(0x2_0000_0000), '800000000000000200000000');
  t.equal(field(Number.MAX_SAFE_INTEGER), '80000000001fffffffffffff');
  fc.assert(
    fc.property(fc.maxSafeNat(), size => {
      const header = Buffer.concat([Buffer.alloc(3), sectionHeader('rafs.blob.toc', size)]);
      const read = readSectionHeader(header, 3);
      return read.name === 'rafs.blob.toc' && read.size === size && checkHeader(header, 3);
    }),
  );
  t.throws(() => sectionHeader('x', -1), { code: 'LIMIT', at: { field: 'size' } });
  t.throws(() => sectionHeader('x'.repeat(101), 1), { code: 'LIMIT', at: { field: 'name' } });
  t.end();
});

t.test('what is no section header is refused', t => {
  const good = sectionHeader('image.boot', 4096);
  t.throws(() => readSectionHeader(good, 1), { code: 'CORRUPT' });
  t.throws(() => readSectionHeader(Buffer.alloc(512)), { code: 'CORRUPT' });
  for (let i = 0; i < 512; i++) {
    const bad = Buffer.from(good);
    bad[i]! ^= 0x01;
    t.throws(() => readSectionHeader(bad), { code: 'CORRUPT' }, `byte ${i}`);
  }
  t.end();
});

t.test('checksums', t => {
  t.equal(checkHeader(Buffer.alloc(1024), 512), false, 'a block of zeros is no header');
  const member = memberOf({ name: 'a\xff\xfe\x80b' });
  t.equal(checkHeader(member, 0), true, 'unsigned');
  const signed = Buffer.from(member);
  const sum = signed.reduce((a, b, i) => a + (i >= 148 && i < 156 ? 0x20 : b), 0) - 3 * 0x100;
  signed.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  t.equal(checkHeader(signed, 0), true, 'of signed bytes');
  const wrong = Buffer.from(member);
  wrong.write('000001\0 ', 148);
  t.throws(() => checkHeader(wrong, 0), {
    code: 'CORRUPT',
    message: /checksum: expected \d+, got 1$/,
  });
  wrong.fill(0, 148, 156);
  t.throws(() => checkHeader(wrong, 0), { code: 'CORRUPT' });
  t.end();
});

const fields = {
  name: 'usr/bin/tool',
  type: TarType.FILE,
  mode: 0o4755,
  uid: 1000,
  gid: 100,
  size: 12,
  mtime: 1_700_000_000,
  linkName: '',
  userName: 'user',
  groupName: 'group',
  devMajor: 0,
  devMinor: 0,
  prefix: '',
};

t.test('POSIX headers, byte for byte', t => {
  const expected = memberOf({
    ...fields,
    device: [0, 0],
    patch: header => {
      header.write('user', 265);
      header.write('group', 297);
    },
  });
  t.same(ustarHeader(fields), expected.subarray(0, 512));
  const big = ustarHeader({ ...fields, uid: 2 ** 21, gid: 2 ** 21 - 1, size: 2 ** 33 });
  t.equal(big.subarray(108, 116).toString('hex'), '8000000000200000');
  t.equal(big.subarray(116, 124).toString('latin1'), '7777777\0');
  t.equal(big.subarray(124, 136).toString('hex'), '800000000000000200000000');
  const old = ustarHeader({ ...fields, mtime: -5_000_000_000 });
  t.equal(old.subarray(136, 148).toString('hex'), 'fffffffffffffffed5fa0e00');
  t.equal(readHeader(old, 0).mtime, -5_000_000_000, 'before 1811');
  t.throws(() => ustarHeader({ ...fields, uid: -1 }), { code: 'LIMIT', at: { field: 'uid' } });
  const pax = paxHeader('usr/PaxHeaders.0/bin', 30);
  const same = memberOf({ name: 'usr/PaxHeaders.0/bin', type: 'x', size: 30 });
  t.same(pax, same);
  t.end();
});

t.test('headers read as they were written', t => {
  const id = fc.nat(0xffffffff);
  fc.assert(
    fc.property(
      fc.record({
        name: fc.string({
          unit: fc.constantFrom('a', '/', 'é', '.'),
          minLength: 1,
          maxLength: 100,
        }),
        mode: fc.nat(0o7777),
        uid: id,
        gid: id,
        size: fc.maxSafeNat(),
        mtime: fc.maxSafeNat(),
        linkName: fc.string({ unit: fc.constantFrom('b', '/', 'ü'), maxLength: 100 }),
      }),
      some => {
        const header = ustarHeader({ ...fields, ...some });
        const { name, mode, uid, gid, size, mtime, flavour } = readHeader(header, 0);
        const linkName = readLinkName(header, 0);
        t.strictSame({ name, mode, uid, gid, size, mtime, linkName }, { ...some });
        t.equal(flavour, 'ustar');
      },
    ),
  );
  t.end();
});

t.test('the prefix is part of a POSIX name, and of no other', t => {
  const prefixed = (magic: 'ustar' | 'gnu' | 'v7') =>
    readHeader(
      memberOf({ name: 'n'.repeat(100), magic, patch: h => void h.write('p'.repeat(155), 345) }),
      0,
    ).name;
  t.equal(prefixed('ustar'), `${'p'.repeat(155)}/${'n'.repeat(100)}`);
  t.equal(prefixed('gnu'), 'n'.repeat(100));
  t.equal(prefixed('v7'), 'n'.repeat(100));
  t.end();
});

t.test('device numbers', t => {
  fc.assert(
    fc.property(fc.nat(0xfff), fc.nat(0xfffff), (major, minor) => {
      const device = makeDevice(major, minor);
      return (
        device >= 0 &&
        device <= 0xffffffff &&
        deviceMajor(device) === major &&
        deviceMinor(device) === minor
      );
    }),
  );
  t.equal(makeDevice(8, 1), 0x801);
  t.equal(makeDevice(0x111, 0x12345), 0x12311145);
  const read = (device: [number, number] | undefined, magic: 'ustar' | 'gnu' | 'v7') =>
    readDevice(memberOf({ name: 'd', magic, ...(device && { device }) }), 0, magic);
  t.equal(read([8, 1], 'ustar'), 0x801);
  t.equal(read([8, 1], 'gnu'), 0x801);
  t.equal(read([8, 1], 'v7'), 0, 'v7 has no device fields');
  t.equal(read(undefined, 'gnu'), 0, 'blank fields');
  const bad = memberOf({ name: 'd', patch: h => void h.write('nonsense', 329) });
  t.ok(Number.isNaN(readDevice(bad, 0, 'ustar')));
  t.end();
});
