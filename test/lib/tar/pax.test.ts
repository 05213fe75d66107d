import fc from 'fast-check';
import t from 'tap';
import { applyPax, readPax, writePax, xattrsOf } from '../../../lib/tar/pax.js';
import { paxRecord } from '../../support/tar/tar.js';

const latin1 = (text: string) => Buffer.from(text, 'latin1');
const apply = (...records: [key: string, value: string][]) =>
  applyPax(
    {},
    records.map(([key, value]) => ({ key, value: latin1(value) })),
  );

t.test('records are read as they were written, whatever their values hold', t => {
  const record = fc.record({
    key: fc.string({ unit: fc.constantFrom('a', '.', ' ', '7', 'é'), minLength: 1, maxLength: 9 }),
    value: fc.uint8Array({ maxLength: 120 }).map(bytes => Buffer.from(bytes)),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 6 }), records => {
      const body = writePax(records);
      t.same(body, Buffer.concat(records.map(({ key, value }) => paxRecord(key, value))));
      const read = readPax(body);
      t.strictSame(
        read.map(({ key, value }) => [key, value.toString('hex')]),
        records.map(({ key, value }) => [key, value.toString('hex')]),
      );
    }),
  );
  t.end();
});

t.test('the length of a record counts its own digits', t => {
  for (let size = 0; size < 1100; size++) {
    const value = Buffer.alloc(size, 'v');
    const body = writePax([{ key: 'k', value }]);
    const length = Number(/^\d+/.exec(body.toString('latin1'))?.[0]);
    if (length !== body.length) t.fail(`${length} for ${body.length}`);
    if (!readPax(body)[0]?.value.equals(value)) t.fail(`value of ${size} bytes`);
  }
  t.equal(writePax([{ key: 'path', value: latin1('x') }]).toString(), '9 path=x\n');
  t.end();
});

t.test('what is no record is refused', t => {
  for (const body of [
    'path=x\n',
    ' path=x\n',
    '10path=x\n',
    '8 path=x\n',
    '11 path=x\n',
    '12 path=x\n',
    '10 path=xy',
    '10 path:x\n',
    '10 pathx=\n\n',
    '4 =\n',
    '5 =x\n',
    '3 a\n',
    '0 a=b\n',
    '2 a=b\n',
    '-6 a=b\n',
    '6 a=b\n6',
    '6 a=b\n\0\0',
    '99999999999999999999 a=b\n',
    '1e1 path=x\n',
  ]) {
    t.throws(() => readPax(latin1(body)), { code: 'CORRUPT' }, JSON.stringify(body));
  }
  t.end();
});

t.test('any bytes are records or CORRUPT', t => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('1', '6', ' ', 'a', '=', '\n') }), text => {
      try {
        return writePax(readPax(latin1(text))).length <= text.length;
      } catch (error) {
        return (error as { code?: string }).code === 'CORRUPT';
      }
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('attributes', t => {
  t.strictSame(
    apply(['path', 'a/b'], ['linkpath', '../c'], ['size', '12'], ['uid', '5000000'], ['gid', '0']),
    { path: 'a/b', linkPath: '../c', size: 12, uid: 5000000, gid: 0 },
  );
  t.strictSame(apply(['atime', '1.5'], ['comment', 'x'], ['ctime', '']), {}, 'others are ignored');
  t.strictSame(apply(['path', 'a'], ['path', 'b']), { path: 'b' }, 'the last one counts');
  for (const value of ['-1', '1.5', '0x10', ' 1', '1 ', '9007199254740992', 'nobody']) {
    t.throws(() => apply(['uid', value]), { code: 'CORRUPT', message: /uid/ }, value);
    t.throws(() => apply(['size', value]), { code: 'CORRUPT', message: /size/ }, value);
  }
  t.throws(() => apply(['path', 'a\0b']), { code: 'CORRUPT' });
  t.throws(() => apply(['linkpath', 'a\0b']), { code: 'CORRUPT' });
  t.end();
});

t.test('an empty value takes a default back; the defaults stay as they are', t => {
  const base = apply(['path', 'a'], ['uid', '1'], ['gid', '2'], ['SCHILY.xattr.user.a', 'x']);
  const records = ['path', 'uid', 'linkpath'].map(key => ({ key, value: Buffer.alloc(0) }));
  const made = applyPax(base, [...records, { key: 'SCHILY.xattr.user.b', value: latin1('y') }]);
  t.strictSame(
    { ...made, xattrs: [...made.xattrs!.keys()] },
    { gid: 2, xattrs: ['user.a', 'user.b'] },
  );
  t.strictSame(
    { ...base, xattrs: [...base.xattrs!.keys()] },
    { path: 'a', uid: 1, gid: 2, xattrs: ['user.a'] },
  );
  t.end();
});

const nothingLeftOut = (name: string): never => {
  throw new Error(name);
};

t.test('an SELinux context of GNU tar is the xattr that it stands for', async t => {
  const xattrs = xattrsOf(apply(['RHT.security.selinux', 'a:b:c:s0']), nothingLeftOut);
  t.equal(xattrs?.get('security.selinux')?.toString(), 'a:b:c:s0\0');
  const both = apply(['SCHILY.xattr.security.selinux', 'x\0'], ['RHT.security.selinux', 'y']);
  t.equal(both.xattrs?.get('security.selinux')?.toString(), 'x\0', 'the xattr itself counts first');
});

t.test('times are whole seconds, rounded down', async t => {
  for (const [value, mtime] of [
    ['1.5', 1],
    ['-1.5', -2],
    ['-1.000', -1],
    ['-0.5', -1],
    ['-0', 0],
    ['0', 0],
    ['12345678901.999', 12_345_678_901],
    ['', undefined],
    ['x', undefined],
    ['1e9', undefined],
    ['99999999999999999', undefined],
  ] as const) {
    t.equal(apply(['mtime', value]).mtime, mtime, value);
  }
});

t.test('xattrs keep their bytes', t => {
  const capability = '\x01\0\0\x02\0\x20\0\0\n\0=\xff';
  const xattrs = xattrsOf(
    apply(
      ['SCHILY.xattr.security.capability', capability],
      ['SCHILY.xattr.user.lines', 'one\ntwo\n\n'],
      ['SCHILY.xattr.user.empty', ''],
      ['SCHILY.xattr.system.posix_acl_access', 'acl'],
      ['SCHILY.xattr.trusted.overlay.opaque', 'y'],
    ),
    nothingLeftOut,
  );
  t.equal(xattrs?.get('security.capability')?.toString('latin1'), capability);
  t.equal(xattrs?.get('user.lines')?.toString('latin1'), 'one\ntwo\n\n');
  t.equal(xattrs?.get('user.empty')?.length, 0);
  t.equal(xattrs?.size, 5);
  t.equal(xattrsOf({}, nothingLeftOut), undefined);
  t.end();
});

t.test('values do not keep their records alive or change with them', t => {
  const body = paxRecord('SCHILY.xattr.user.a', 'value');
  const made = applyPax({}, readPax(body));
  body.fill(0);
  t.equal(made.xattrs?.get('user.a')?.toString(), 'value');
  t.end();
});

t.test('xattrs that RAFS cannot hold', t => {
  const xattr = (key: string, value: string) => () =>
    xattrsOf(apply([`SCHILY.xattr.${key}`, value]), name => leftOut.push(name));
  const leftOut: string[] = [];
  for (const name of ['system.nfs4_acl', 'com.apple.quarantine', 'user', '']) {
    t.equal(xattr(name, 'x')(), undefined);
  }
  t.same(leftOut, ['system.nfs4_acl', 'com.apple.quarantine', 'user', '']);
  t.throws(xattr('user.a\0b', 'x'), { code: 'CORRUPT' });
  t.throws(xattr(`user.${'k'.repeat(251)}`, 'x'), { code: 'LIMIT' });
  t.equal(xattr(`user.${'k'.repeat(250)}`, 'x')()?.size, 1);
  t.throws(xattr('user.big', 'v'.repeat(0x10000)), { code: 'LIMIT' });
  t.equal(xattr('user.big', 'v'.repeat(0xffff))()?.size, 1);
  t.end();
});

t.test("bsdtar's form of xattrs counts where there is no other", t => {
  const value = Buffer.from([0, 1, 0xff, 0x0a]);
  const encoded = value.toString('base64').replace(/=+$/, '');
  const leftOut: string[] = [];
  const xattrs = xattrsOf(
    apply(
      ['LIBARCHIVE.xattr.user.a', encoded],
      ['LIBARCHIVE.xattr.user.with%20blank%3d', 'eA'],
      ['SCHILY.xattr.user.b', 'raw'],
      ['LIBARCHIVE.xattr.user.b', encoded],
      ['LIBARCHIVE.xattr.com.apple.provenance', encoded],
    ),
    name => leftOut.push(name),
  );
  t.same(leftOut, ['com.apple.provenance']);
  t.same(xattrs?.get('user.a'), value);
  t.equal(xattrs?.get('user.with blank=')?.toString(), 'x');
  t.equal(xattrs?.get('user.b')?.toString(), 'raw');
  t.equal(xattrs?.size, 3, 'names that mean nothing on Linux are left out');
  t.throws(() => apply(['LIBARCHIVE.xattr.user.a', 'no base64!']), { code: 'CORRUPT' });
  t.end();
});

t.test('records of sparse files', t => {
  t.strictSame(
    apply(
      ['GNU.sparse.size', '100'],
      ['GNU.sparse.numblocks', '2'],
      ['GNU.sparse.offset', '0'],
      ['GNU.sparse.numbytes', '5'],
      ['GNU.sparse.offset', '50'],
      ['GNU.sparse.numbytes', '6'],
    ).sparse,
    { realSize: 100, extentCount: 2, extents: [0, 5, 50, 6] },
  );
  t.strictSame(apply(['GNU.sparse.map', '0,5,50,6'], ['GNU.sparse.name', 'n']).sparse, {
    extents: [0, 5, 50, 6],
    name: 'n',
  });
  t.strictSame(
    apply(['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0'], ['GNU.sparse.realsize', '7'])
      .sparse,
    { major: 1, minor: 0, realSize: 7 },
  );
  t.throws(() => apply(['GNU.sparse.numbytes', '5']), { code: 'CORRUPT' });
  t.throws(() => apply(['GNU.sparse.offset', '5'], ['GNU.sparse.offset', '5']), {
    code: 'CORRUPT',
  });
  for (const map of ['0,', ',', '1,x', '1,-2', '1;2']) {
    t.throws(() => apply(['GNU.sparse.map', map]), { code: 'CORRUPT' }, map);
  }
  t.end();
});
