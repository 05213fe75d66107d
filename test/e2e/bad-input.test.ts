/** Bad input and bad targets: one line on stderr, the right exit status, nothing left behind. */
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { cli, hasFailed, type CliOptions } from '../support/process/cli.js';
import { isRoot, mountTmpfs, temporaryDirectory, withoutMount } from '../support/process/fs.js';
import { layerPath, layerTar, madeTar } from '../support/tar/layers.js';
import { filesBelow } from '../support/process/left.js';
import { numbers, randomBytes } from '../support/random.js';
import { setChecksum, tarOf } from '../support/tar/tar.js';
import { makeFrame } from '../support/tar/zstd.js';

const TAR = layerTar('kinds');
const GZIP = fs.readFileSync(layerPath('kinds.tar.gz'));

interface Failing {
  exit?: number;
  text?: RegExp;
  /** instead of a file with these bytes */
  source?: string;
  argv?: (out: string, source: string) => string[];
  options?: CliOptions;
}

/** All outputs in one folder, which must be empty afterwards. */
const both = (out: string, source: string): string[] => [
  'create',
  ...['-t', 'tar-rafs', '-B', `${out}/boot`, '-D', out, '-J', `${out}/out.json`],
  ...['-l', 'warn', source],
];

const inline = (out: string, source: string): string[] => [
  'create',
  ...['-t', 'tar-rafs', '--blob-inline-meta', '--features', 'blob-toc'],
  ...['-b', `${out}/blob`, '-l', 'warn', source],
];

/** Builds from bytes that cannot be built from. */
const fails = async (
  t: Test,
  what: string,
  bytes: Buffer | undefined,
  { exit = 1, text, source, argv = both, options = {} }: Failing = {},
): Promise<void> => {
  const directory = temporaryDirectory(t);
  const out = path.join(directory, 'out');
  const file = source ?? path.join(directory, 'source');
  fs.mkdirSync(out);
  if (bytes) fs.writeFileSync(file, bytes);
  const ran = await cli(argv(out, file), { ...options, cwd: out });
  hasFailed(t, ran, what, exit, text);
  t.same(filesBelow(out), [], `${what}: nothing is left`);
};

t.test('a gzip stream that ends early, anywhere', async t => {
  const next = numbers(1);
  const cuts = [1, 9, 10, 11, GZIP.length - 8, GZIP.length - 1];
  while (cuts.length < 12) cuts.push(12 + next(GZIP.length - 24));
  for (const cut of cuts) await fails(t, `cut at ${cut}`, GZIP.subarray(0, cut));
});

t.test('a zstd stream that ends early', { skip: !makeFrame && 'no zstd here' }, async t => {
  const frame = makeFrame!(TAR);
  for (const cut of [5, frame.length >> 1, frame.length - 1]) {
    await fails(t, `cut at ${cut}`, frame.subarray(0, cut));
  }
});

t.test('damaged deflate data', async t => {
  const next = numbers(2);
  for (let i = 0; i < 6; i++) {
    const bytes = Buffer.from(GZIP);
    const at = 20 + next(bytes.length - 40);
    bytes.fill(next(256), at, at + 8);
    bytes[at + 8]! ^= 0xff;
    await fails(t, `at ${at}`, bytes);
  }
});

t.test('a wrong gzip checksum and length', async t => {
  for (const at of [GZIP.length - 8, GZIP.length - 4]) {
    const bytes = Buffer.from(GZIP);
    bytes[at]! ^= 1;
    await fails(t, `trailer at ${at}`, bytes);
  }
});

t.test('a tar that ends early', async t => {
  const tar = tarOf([{ name: 'f', content: randomBytes(5000, 1) }]);
  for (const cut of [100, 511, 700, 512 + 5000 - 1]) {
    await fails(t, `cut at ${cut}`, tar.subarray(0, cut));
  }
});

t.test('tar headers that are wrong', async t => {
  const header = (patch: (header: Buffer) => void): Buffer => {
    const tar = tarOf([{ name: 'f', content: 'content' }]);
    patch(tar);
    return tar;
  };
  const flipped = header(tar => (tar[3]! ^= 1));
  await fails(t, 'flipped checksum', flipped, { text: /checksum/i });
  const second = tarOf([{ name: 'a', content: 'a' }, { name: 'b' }]);
  second[1024 + 150]! ^= 1;
  await fails(t, 'flipped checksum of a later header', second, { text: /checksum/i });
  const negative = header(tar => {
    Buffer.from('ffffffffffffffffffffff00', 'hex').copy(tar, 124);
    setChecksum(tar);
  });
  await fails(t, 'negative size', negative, { text: /size/i });
  const huge = header(tar => {
    Buffer.from('8000000000ffffffffffffff', 'hex').copy(tar, 124);
    setChecksum(tar);
  });
  await fails(t, 'a size beyond all bounds', huge);
  const text = header(tar => {
    tar.write('12x4567890z\0', 124, 'latin1');
    setChecksum(tar);
  });
  await fails(t, 'a size that is no number', text, { text: /size/i });
});

t.test('PAX records that are wrong', async t => {
  const pax = (key: string, value: string): Buffer => tarOf([{ name: 'f', pax: [[key, value]] }]);
  await fails(t, 'path with NUL', pax('path', 'a\0b'), { text: /NUL|zero|\\u0000/i });
  await fails(t, 'negative size', pax('size', '-1'), { text: /size/i });
  await fails(t, 'size that is no number', pax('size', 'many'), { text: /size/i });
  await fails(t, 'size beyond all bounds', pax('size', '9'.repeat(40)));
  const record = (content: string): Buffer =>
    tarOf([{ name: 'x', type: 'x', content }, { name: 'f' }]);
  await fails(t, 'a record longer than its header', record('99 path=a\n'));
  await fails(t, 'a record of no length', record('0 path=a\n'));
  await fails(t, 'a record without =', record('7 path\n'));
  await fails(t, 'no record at all', record('nonsense'));
});

t.test('a file in the place of the root', async t => {
  for (const name of ['.', 'a/..']) {
    await fails(t, name, tarOf([{ name, content: 'x' }]), { text: /root/ });
  }
});

t.test('not a tar', async t => {
  await fails(t, 'random bytes', randomBytes(5000, 3));
  await fails(t, 'gzip of random bytes', gzipSync(randomBytes(5000, 3)));
  await fails(t, 'text', Buffer.from('not a tar\n'.repeat(200)));
});

t.test('a source that cannot be read', async t => {
  await fails(t, 'missing', undefined, { source: '/nonexistent/layer.tar', text: /ENOENT/ });
  await fails(t, 'directory as a tar', undefined, { source: '/' });
  const directory = temporaryDirectory(t);
  fs.writeFileSync(path.join(directory, 'file'), TAR);
  await fails(t, 'tar as a directory', undefined, {
    source: path.join(directory, 'file'),
    argv: (out, source) => both(out, source).with(2, 'dir-rafs'),
  });
});

t.test('targets that cannot be written', async t => {
  const file = layerPath('kinds.tar.gz');
  const given = (argv: string[], text: RegExp, exit = 1): Failing => ({
    argv: () => [...argv, '-l', 'warn', file],
    text,
    exit,
  });
  const create = ['create', '-t', 'targz-rafs'];
  const directory = temporaryDirectory(t);
  await fails(
    t,
    'directory as --blob',
    undefined,
    given([...create, '--blob-inline-meta', '-b', directory], /EISDIR|directory/),
  );
  await fails(
    t,
    'missing --blob-dir',
    undefined,
    given([...create, '-B', 'boot', '-D', `${directory}/none`], /directory|ENOENT/),
  );
  await fails(
    t,
    'missing folder of --bootstrap',
    undefined,
    given([...create, '-B', `${directory}/none/boot`, '-D', directory], /ENOENT/),
  );
  t.same(filesBelow(directory), [], 'nothing is left in any of them');
  fs.writeFileSync(path.join(directory, 'file'), 'as it was');
  await fails(
    t,
    'file as --blob-dir',
    undefined,
    given([...create, '-B', 'boot', '-D', `${directory}/file`], /directory|ENOTDIR/),
  );
  t.equal(fs.readFileSync(path.join(directory, 'file'), 'utf8'), 'as it was');
});

t.test('a folder without permission', { skip: isRoot && 'root may write everywhere' }, async t => {
  const directory = temporaryDirectory(t);
  fs.chmodSync(directory, 0o555);
  await fails(t, 'no permission', undefined, {
    argv: () => inline(directory, layerPath('kinds.tar.gz')),
    text: /EACCES/,
  });
  fs.chmodSync(directory, 0o755);
  t.same(filesBelow(directory), []);
});

t.test('what was there stays as it was', async t => {
  const directory = temporaryDirectory(t);
  const source = path.join(directory, 'source');
  fs.writeFileSync(source, GZIP.subarray(0, 9000));
  const out = path.join(directory, 'out');
  fs.mkdirSync(out);
  for (const name of ['boot', 'out.json']) fs.writeFileSync(path.join(out, name), 'as it was');
  hasFailed(t, await cli(both(out, source)), 'create', 1);
  t.same(filesBelow(out), ['boot', 'out.json']);
  for (const name of ['boot', 'out.json']) {
    t.equal(fs.readFileSync(path.join(out, name), 'utf8'), 'as it was', name);
  }
});

t.test('a full disk', { skip: withoutMount() }, async t => {
  const directory = temporaryDirectory(t);
  const source = path.join(directory, 'source');
  fs.writeFileSync(source, tarOf([{ name: 'f', content: randomBytes(0x300000, 4) }]));
  const small = mountTmpfs(t, directory, 0x100000);
  for (const argv of [both, inline]) {
    const ran = await cli(argv(small, source));
    hasFailed(t, ran, argv === both ? 'two files' : 'one file', 1, /ENOSPC/);
    t.same(filesBelow(small), [], 'the disk is empty again');
  }
});

t.test('a full disk for the bootstrap only', { skip: withoutMount() }, async t => {
  const directory = temporaryDirectory(t);
  const source = path.join(directory, 'source');
  fs.writeFileSync(source, madeTar('kernel', { scale: 0.02 }));
  const small = mountTmpfs(t, directory, 0x4000);
  const out = path.join(directory, 'out');
  fs.mkdirSync(out);
  const argv = ['create', '-t', 'tar-rafs', '-B', `${small}/boot`, '-D', out, '-l', 'warn', source];
  hasFailed(t, await cli(argv), 'create', 1, /ENOSPC/);
  t.same([filesBelow(small), filesBelow(out)], [[], []], 'no blob without its bootstrap');
});

t.test('/dev/full', { skip: !fs.existsSync('/dev/full') && 'no such device' }, async t => {
  await fails(t, '--blob', undefined, {
    argv: () => inline('/dev/null', layerPath('kinds.tar.gz')).with(7, '/dev/full'),
    text: /ENOSPC/,
  });
});

t.test('readers of damaged images', async t => {
  const directory = temporaryDirectory(t);
  const blob = path.join(directory, 'blob');
  const out = path.join(directory, 'out');
  fs.mkdirSync(out);
  t.match(await cli(inline(directory, layerPath('kinds.tar.gz'))), { exit: 0 });
  const whole = fs.readFileSync(blob);
  const next = numbers(5);
  const damaged = path.join(directory, 'damaged');
  for (const cut of [0, 1, 512, next(whole.length), whole.length - 1]) {
    fs.writeFileSync(damaged, whole.subarray(0, cut));
    for (const argv of [
      ['check', '-l', 'warn', damaged],
      ['inspect', '-B', damaged, '-R', 'stats'],
      ['stat', '-B', damaged],
      ['unpack', '-l', 'warn', damaged, '--output', `${out}/tar`],
    ]) {
      hasFailed(t, await cli(argv), `${argv[0]} of ${cut} bytes`, 1);
    }
    t.same(filesBelow(out), [], 'no half of a tar');
  }
  // content that is not what its digest says: found when the tar is half written
  const data = Buffer.from(whole);
  data[Math.floor(whole.length / 3)]! ^= 0xff;
  fs.writeFileSync(damaged, data);
  const ran = await cli(['unpack', '-l', 'warn', damaged, '--output', `${out}/tar`]);
  hasFailed(t, ran, 'unpack of changed content', 1);
  t.same(filesBelow(out), [], 'no half of a tar');
});
