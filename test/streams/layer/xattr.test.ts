import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { xattrReader } from '../../../streams/layer/xattr.js';
import { openBelow, temporaryDirectory, withoutXattrs } from '../../support/process/fs.js';

const skip = withoutXattrs();

const set = (file: string | Buffer, name: string, value: Buffer): void => {
  // through a shell, since arguments are text and paths need not be
  const where = Buffer.from(file).toString('hex').replace(/../g, '\\x$&');
  execFileSync('bash', [
    '-c',
    `setfattr -h -n "$1" -v "0x$2" -- $'${where}'`,
    'bash',
    name,
    value.toString('hex'),
  ]);
};

const read = (t: Test, file: string | Buffer, warnings: readonly string[] = []) => {
  const told: string[] = [];
  const found = xattrReader(message => told.push(message))(Buffer.from(file).toString('latin1'));
  t.same(told, warnings);
  return found && Object.fromEntries(found);
};

t.test('values are bytes, names in byte order', { skip }, async t => {
  const file = path.join(temporaryDirectory(t), 'file');
  fs.writeFileSync(file, '');
  t.equal(read(t, file), undefined);
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
  set(file, 'user.zz', Buffer.from([0, 255, 10, 0]));
  set(file, 'user.empty', Buffer.alloc(0));
  set(file, 'trusted.overlay.opaque', Buffer.from('y'));
  set(file, 'security.capability', capability);
  const found = read(t, file)!;
  t.same(found, {
    'security.capability': capability,
    'trusted.overlay.opaque': Buffer.from('y'),
    'user.empty': Buffer.alloc(0),
    'user.zz': Buffer.from([0, 255, 10, 0]),
  });
  t.same(Object.keys(found), Object.keys(found).sort());
});

t.test("a symlink's own attributes, not those it leads to", { skip }, async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, '');
  set(file, 'user.file', Buffer.from('1'));
  for (const [link, target] of Object.entries({ link: 'file', dangling: 'none' })) {
    fs.symlinkSync(target, path.join(directory, link));
    t.equal(read(t, path.join(directory, link)), undefined);
    set(path.join(directory, link), 'trusted.own', Buffer.from('2'));
    t.same(read(t, path.join(directory, link)), { 'trusted.own': Buffer.from('2') });
  }
});

t.test('paths that are not ASCII, or not UTF-8', { skip }, async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): Buffer => Buffer.from(`${directory}/${name}`, 'latin1');
  const due = { 'user.x': Buffer.from('1') };
  fs.mkdirSync(at('d\xff'));
  for (const name of ['\xc3\xa9', 'd\xff', 'd\xff/inner', 'd\xff/\xc3\xa9']) {
    if (!fs.existsSync(at(name))) fs.writeFileSync(at(name), '');
    set(at(name), 'user.x', Buffer.from('1'));
    t.same(read(t, at(name)), due, name);
  }
  fs.writeFileSync(at('f\xff'), '');
  const warning = `the name is not in UTF-8: ${JSON.stringify(at('f\xff').toString('latin1'))}`;
  t.equal(read(t, at('f\xff'), [`extended attributes are left out: ${warning}`]), undefined);
  fs.symlinkSync('.', at('l\xff'));
  t.equal(xattrReader(() => undefined)(at('l\xff').toString('latin1')), undefined, 'not followed');
  t.same(openBelow(directory), []);
});

t.test('an attribute that an image cannot hold', { skip }, async t => {
  const file = path.join(temporaryDirectory(t), 'file');
  fs.writeFileSync(file, '');
  execFileSync('bash', ['-c', `setfattr -n $'user.\\xff' -v 1 "$1"`, 'bash', file]);
  t.throws(() => read(t, file), { name: 'RafsError', code: 'UNSUPPORTED', at: { path: file } });
});

t.test('what is not there fails as the system says', { skip }, async t => {
  const file = path.join(temporaryDirectory(t), 'none');
  t.throws(() => read(t, file), { code: 'ENOENT', path: file });
});

t.test('a file system without attributes has none', { skip }, async t => {
  t.equal(read(t, '/proc/self/status'), undefined);
});

t.test('without the package there are none, and one warning', async t => {
  const warnings: string[] = [];
  t.throws(() => xattrReader(() => undefined, { native: null, required: true }), {
    code: 'UNSUPPORTED',
  });
  const reader = xattrReader(message => warnings.push(message), { native: null });
  t.equal(reader('/'), undefined);
  t.equal(reader('/etc'), undefined);
  t.same(warnings, ['extended attributes are left out: @napi-rs/xattr is not installed']);
});

t.test('what the package says', async t => {
  const says = (listAttributesSync: () => string[], value: Buffer | null = Buffer.from('1')) =>
    xattrReader(() => undefined, {
      native: { listAttributesSync, getAttributeSync: () => value },
    })('/x');
  const fails = (message: string) => () =>
    says(() => {
      throw new Error(message);
    });
  t.same(
    [...says(() => ['user.b', 'user.a', 'user.\u00e9'])!.keys()],
    ['user.a', 'user.b', 'user.\xc3\xa9'],
  );
  t.equal(
    says(() => []),
    undefined,
  );
  t.equal(
    says(() => ['user.a'], null),
    undefined,
    'removed meanwhile',
  );
  const others = ['system.nfs4_acl', 'system.posix_acl', 'user', 'btrfs.x', ''];
  const heard: string[] = [];
  const native = {
    listAttributesSync: () => [...others, 'user.a'],
    getAttributeSync: () => Buffer.from('1'),
  };
  const read = xattrReader(message => heard.push(message), { native });
  for (const path of ['/x', '/y']) t.same([...read(path)!.keys()], ['user.a']);
  t.same(
    heard,
    others.map(name => `xattr ${JSON.stringify(name)} is left out: images have no such namespace`),
    'each is said once',
  );
  t.same(says(() => ['system.posix_acl_access', 'system.posix_acl_default'])?.size, 2);
  for (const errno of [95, 38]) t.equal(fails(`no (os error ${errno})`)(), undefined);
  t.throws(fails('denied (os error 13)'), { code: 'EACCES', errno: -13, path: '/x' });
  t.throws(fails('Invalid attribute'), { code: 'UNSUPPORTED', at: { path: '/x' } });
});
