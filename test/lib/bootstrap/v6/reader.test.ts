import { execFileSync } from 'node:child_process';
import t from 'tap';
import { walk } from '../../../../lib/bootstrap/walk.js';
import { RafsError } from '../../../../lib/errors.js';
import { parseBootstrap } from '../../../../lib/bootstrap/parse.js';
import { parseV6 } from '../../../../lib/bootstrap/v6/reader.js';
import { CompactInode, ExtendedInode } from '../../../../lib/layout/rafs-v6.js';
import { verify } from '../../../../lib/bootstrap/verify.js';
import {
  altered,
  BOOTSTRAPS,
  failure,
  golden,
  goldenPath,
} from '../../../support/images/golden.js';

const KINDS = 'tar-rafs.kinds.zstd.v6';

/** What dump.erofs says; undefined where it is not installed. */
const dumpErofs = (...args: string[]): string | undefined => {
  try {
    return execFileSync('dump.erofs', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

const withoutDump = dumpErofs('-V') === undefined ? 'needs dump.erofs' : false;

// dump.erofs leaves out the bits above 0777
t.test('inodes are what dump.erofs says', { skip: withoutDump }, t => {
  const bootstrap = parseV6(golden(KINDS));
  let count = 0;
  for (const { path, inode } of walk(bootstrap)) {
    if (/[^ -~]/.test(path)) continue;
    const text = dumpErofs('--device=/dev/null', `--path=/${path}`, goldenPath(KINDS))!;
    const [, size] = /^Size: (\d+)/m.exec(text)!;
    const [, nid, links] = /^NID: (\d+) +Links: (\d+)/m.exec(text)!;
    const [, uid, gid, mode] = /^Uid: (\d+) +Gid: (\d+) +Access: (\d+)/m.exec(text)!;
    const [, xattrSize] = /Xattr size: (\d+)/.exec(text)!;
    t.strictSame(
      [inode.size, inode.id, inode.nlink, inode.uid, inode.gid, inode.mode & 0o777],
      [Number(size), Number(nid), Number(links), Number(uid), Number(gid), parseInt(mode!, 8)],
      path,
    );
    t.equal(inode.hasXattr, Number(xattrSize) > 0, path);
    count += 1;
  }
  t.equal(count, bootstrap.inodeCount);
  t.end();
});

t.test('chunks lie where dump.erofs maps them', { skip: withoutDump }, t => {
  const bootstrap = parseV6(golden(KINDS));
  let count = 0;
  for (const { path, inode } of walk(bootstrap)) {
    if (inode.type !== 'file' || inode.size === 0) continue;
    const text = dumpErofs('--device=/dev/null', '-e', `--path=/${path}`, goldenPath(KINDS))!;
    const extents = [...text.matchAll(/\| +\d+ : +(\d+)\.\. *\d+ \| +\d+ +# device (\d+)/g)];
    t.strictSame(
      [...bootstrap.chunks(inode)].map(chunk => [chunk.uncompressedOffset, chunk.blobIndex + 1]),
      extents.map(([, offset, device]) => [Number(offset), Number(device)]),
      path,
    );
    count += extents.length;
  }
  t.ok(count > 10);
  t.end();
});

t.test('every golden bootstrap has as many names as it says', t => {
  t.ok(BOOTSTRAPS.length >= 8);
  for (const name of BOOTSTRAPS) {
    const bootstrap = parseV6(golden(name));
    t.equal([...verify(bootstrap)].length, bootstrap.inodeCount, name);
  }
  t.end();
});

t.test('files of a tar have their chunks inside it', t => {
  const tarfs = parseV6(golden('tarfs.kinds'));
  const rafs = parseV6(golden(KINDS));
  t.equal(tarfs.blockSize, 512);
  const sizes = new Map<string, number>();
  for (const { path, inode } of walk(rafs)) sizes.set(path, inode.size);
  for (const { path, inode } of walk(tarfs)) {
    if (inode.type !== 'file') continue;
    t.equal(inode.size, sizes.get(path), path);
    const chunks = [...tarfs.chunks(inode)];
    t.equal(
      chunks.reduce((sum, chunk) => sum + chunk.uncompressedSize, 0),
      inode.size,
      path,
    );
    t.ok(
      chunks.every(chunk => chunk.compressedOffset % 512 === 0 && !chunk.compressed),
      path,
    );
  }
  t.end();
});

t.test('xattrs and targets', t => {
  const bootstrap = parseV6(golden(KINDS));
  const visits = new Map([...walk(bootstrap)].map(visit => [visit.path, visit.inode]));
  const capabilities = bootstrap.xattrs(visits.get('x/caps')!).get('security.capability');
  t.equal(capabilities?.length, 20, 'a capability of version 2');
  t.equal(bootstrap.xattrs(visits.get('etc/passwd')!).size, 0);
  t.equal(bootstrap.symlinkTarget(visits.get('bin')!), 'usr/bin');
  t.equal(bootstrap.symlinkTarget(visits.get('usr/bin/long-link')!).length, 300);
  t.equal(visits.get('dev/null')!.rdev, 0x103, 'char 1:3');
  t.end();
});

t.test('an inode of 32 bytes is read as one of 64', t => {
  const image = golden(KINDS);
  const bootstrap = parseV6(image);
  const before = [...walk(bootstrap)].find(({ path }) => path === 'dev/null')!.inode;
  const at = image.readUInt32LE(1024 + 40) * 4096 + before.id * 32;
  const wide = ExtendedInode.decode(image, at);
  const { mode, nlink, size, union1, ino, uid, gid } = wide;
  const { format, xattrIcount } = wide;
  CompactInode.encodeInto(image, at, {
    format: format - 1,
    xattrIcount,
    mode,
    nlink,
    size,
    union1,
    ino,
    uid,
    gid,
  });
  const after = parseV6(image).inode(before.id);
  t.strictSame(
    [after.mode, after.nlink, after.uid, after.gid, after.rdev, after.mtime],
    [before.mode, before.nlink, before.uid, before.gid, before.rdev, 0],
  );
  t.end();
});

t.test('a directory inside itself is found', t => {
  const image = golden(KINDS);
  const bootstrap = parseV6(image);
  const usr = [...walk(bootstrap)].find(({ path }) => path === 'usr')!.inode;
  const meta = image.readUInt32LE(1024 + 40) * 4096;
  const tail = meta + usr.id * 32 + ExtendedInode.size;
  // its entries are '.', '..' and 'bin': the last one is made to lead to /usr again
  t.equal(image.readUInt32LE(tail + 24), usr.id + 4);
  image.writeUInt32LE(usr.id, tail + 24);
  const error = failure(() => [...walk(parseV6(image))]);
  t.match(error, { code: 'CORRUPT', message: /two names/, at: { path: '/usr/bin' } });
  t.end();
});

t.test('files that claim more chunks than the image can list', t => {
  const image = golden(KINDS);
  const bootstrap = parseV6(image);
  const file = [...walk(bootstrap)].find(({ path }) => path === 'etc/passwd')!.inode;
  const meta = image.readUInt32LE(1024 + 40) * 4096;
  image.writeUInt32LE(0x1000, meta + file.id * 32 + ExtendedInode.offsets.size + 4);
  const error = failure(() => [...verify(parseV6(image))]);
  t.match(error, { code: 'CORRUPT', at: { path: '/etc/passwd' } });
  t.end();
});

t.test('altered anywhere: a result or a RafsError', t => {
  for (const name of BOOTSTRAPS) {
    let failed = 0;
    for (const image of altered(golden(name), 1500, name.length)) {
      const error = failure(() => {
        for (const visit of verify(parseBootstrap(image))) visit.path.at(0);
      });
      if (error instanceof RafsError) failed += 1;
    }
    t.ok(failed > 300, `${name}: ${failed} of 1500 are refused`);
  }
  t.end();
});
