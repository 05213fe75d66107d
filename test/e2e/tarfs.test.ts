/** create -t tar-tarfs: sources of every kind, and what is left in the directory. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { walk } from '../../lib/bootstrap/walk.js';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { makeFifo, shell, temporaryDirectory } from '../support/process/fs.js';
import { golden } from '../support/images/golden.js';
import { layerPath, layerTar } from '../support/tar/layers.js';
import { longName, tarOf } from '../support/tar/tar.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Folders for the source and for what is made, and the command line up to the source. */
const place = (t: Test) => {
  const directory = temporaryDirectory(t);
  const out = path.join(directory, 'out');
  fs.mkdirSync(out);
  const boot = path.join(out, 'boot');
  const argv = ['create', '-t', 'tar-tarfs', '-B', boot, '-D', out, '-l', 'error'];
  return { directory, out, boot, argv };
};

const ID = 'c'.repeat(64);
const tar = layerTar('kinds');

t.test('file, FIFO and pipe make the bootstrap of nydus-image, and nothing else', async t => {
  const { directory, out, boot, argv } = place(t);
  const due = golden('tarfs.kinds');
  const file = path.join(directory, 'tar');
  fs.writeFileSync(file, tar);
  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  const check = (name: string): void => {
    t.ok(fs.readFileSync(boot).equals(due), name);
    t.same(fs.readdirSync(out), ['boot'], `${name}: no blob`);
    fs.unlinkSync(boot);
  };
  await succeed(t, [...argv, file]);
  check('file');
  await succeed(t, [...argv, '/dev/stdin'], { stdin: tar });
  check('pipe');
  // the writer ends well only if all is read, also what lies behind the end of the archive
  const zeros = 1_000_000;
  const writer = shell('(cat "$1"; head -c "$2" /dev/zero) > "$3"', file, String(zeros), fifo);
  await succeed(t, [...argv, '--blob-id', ID, fifo]);
  await writer;
  const { blobs } = parseBootstrap(fs.readFileSync(boot));
  t.equal(blobs[0]!.uncompressedSize, tar.length + zeros, 'FIFO');
});

t.test('with a blob id the tar is not hashed: file and pipe agree', async t => {
  const { directory, out, boot, argv } = place(t);
  const file = path.join(directory, 'tar');
  fs.writeFileSync(file, tar);
  await succeed(t, [...argv, '--blob-id', ID, file]);
  const skipped = fs.readFileSync(boot);
  await succeed(t, [...argv, '--blob-id', ID, '-'], { stdin: tar });
  t.ok(fs.readFileSync(boot).equals(skipped));
  t.same(fs.readdirSync(out), ['boot']);
  // but for the id, it is the bootstrap that has the digest
  const own = golden('tarfs.kinds');
  for (let at = own.indexOf(sha256(tar)); at >= 0; at = own.indexOf(sha256(tar), at)) {
    own.write(ID, at, 'latin1');
  }
  t.ok(skipped.equals(own));
});

t.test('a compressed tar is expanded beside, under its id', async t => {
  const { directory, out, boot, argv } = place(t);
  await succeed(t, [...argv, layerPath('kinds.tar.gz')]);
  t.ok(fs.readFileSync(boot).equals(golden('tarfs.kinds')), 'as if it had been plain');
  t.same(fs.readdirSync(out).sort(), ['boot', sha256(tar)].sort());
  t.ok(fs.readFileSync(path.join(out, sha256(tar))).equals(tar));
  await succeed(t, [...argv, '--blob-id', ID, '-'], { stdin: gzipSync(tar) });
  t.ok(fs.readFileSync(path.join(out, ID)).equals(tar), 'or the id that is given');
  try {
    execFileSync('zstd', ['--version']);
  } catch {
    t.comment('no zstd here');
    return;
  }
  const zst = path.join(directory, 'kinds.tar.zst');
  execFileSync('zstd', ['-q', '-o', zst], { input: tar });
  fs.rmSync(out, { recursive: true });
  fs.mkdirSync(out);
  await succeed(t, [...argv, zst]);
  t.ok(fs.readFileSync(path.join(out, sha256(tar))).equals(tar), 'zstd');
});

t.test('nothing, zeros and empty files are layers without a blob', async t => {
  const { directory, out, boot, argv } = place(t);
  const file = path.join(directory, 'tar');
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(10240), tarOf([{ name: 'a' }])]) {
    for (const more of [[], ['--blob-id', ID]]) {
      fs.writeFileSync(file, bytes);
      await succeed(t, [...argv, ...more, file]);
      t.equal(parseBootstrap(fs.readFileSync(boot)).blobs.length, 0);
      await succeed(t, [...argv, ...more, '-'], { stdin: bytes });
      t.equal(parseBootstrap(fs.readFileSync(boot)).blobs.length, 0);
    }
  }
  await succeed(t, [...argv, '-'], { stdin: gzipSync(tarOf([{ name: 'a' }])) });
  t.same(fs.readdirSync(out), ['boot']);
});

t.test('symlinks of any length are whole', async t => {
  const { boot, argv } = place(t);
  const sizes = [1, 100, 447, 448, 449, 500, 511, 512, 513, 600, 900, 960, 961, 1024, 1025, 4000];
  const targets = new Map(sizes.map(size => [`l${size}`, 'abcdefg/'.repeat(600).slice(0, size)]));
  const layer = tarOf(
    [...targets].flatMap(([name, target]) => [
      longName(target, 'K'),
      { name, type: '2', magic: 'gnu' as const, link: target.slice(0, 100) },
    ]),
  );
  await succeed(t, [...argv, '-'], { stdin: layer });
  const bootstrap = parseBootstrap(fs.readFileSync(boot));
  const found = new Map<string, string>();
  for (const { path, inode } of walk(bootstrap)) {
    if (inode.type === 'symlink') found.set(path, bootstrap.symlinkTarget(inode));
  }
  t.same(found, targets);
});

t.test('what cannot be mapped is one line, and nothing is left', async t => {
  const { directory, out, argv } = place(t);
  const sparse = path.join(directory, 'holes');
  fs.writeFileSync(sparse, 'start');
  fs.truncateSync(sparse, 3_000_000);
  const layers: [name: string, bytes: Buffer, text: RegExp][] = [
    ['a cut tar', tar.subarray(0, 60_000), /unexpected end of the tar/],
    ['garbage', Buffer.alloc(20_000, '7'), /checksum/],
    ['a cut tar.gz', gzipSync(tar).subarray(0, 9000), /\S/],
  ];
  for (const format of ['gnu', 'posix']) {
    try {
      const argv = ['-c', '-S', `--format=${format}`, '-C', directory, 'holes'];
      layers.push([`sparse ${format}`, execFileSync('tar', argv), /sparse file .*holes/]);
    } catch {
      t.comment('no GNU tar here');
    }
  }
  for (const [name, bytes, text] of layers) {
    const file = path.join(directory, 'layer');
    fs.writeFileSync(file, bytes);
    for (const more of [[], ['--blob-id', ID]]) {
      hasFailed(t, await cli([...argv, ...more, file]), `${name}, file`, 1, text);
      const piped = await cli([...argv, ...more, '-'], { stdin: bytes });
      hasFailed(t, piped, `${name}, pipe`, 1, text);
    }
    t.same(fs.readdirSync(out), [], `${name}: nothing is left`);
  }
});
