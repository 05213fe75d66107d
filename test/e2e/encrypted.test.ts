/** Encrypted images, and batches: ours, and those of nydus-image, as their readers see them. */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { check } from '../../bin/commands/check.js';
import { unpack } from '../../bin/commands/unpack.js';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { BlobEntry } from '../../lib/layout/rafs-v6.js';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { recordedIo } from '../support/process/command-io.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { failureOf, golden, goldenBlob, goldenFolder } from '../support/images/golden.js';
import { layerPath } from '../support/tar/layers.js';
import { numbers } from '../support/random.js';

interface Built {
  directory: string;
  boot: string;
  blob: string;
}

const build = async (t: Test, layer: string, options: readonly string[]): Promise<Built> => {
  const directory = temporaryDirectory(t);
  const boot = path.join(directory, 'boot');
  const argv = ['create', '-l', 'warn', '-t', 'targz-rafs', '-B', boot, '-D', directory];
  await succeed(t, [...argv, ...options, layerPath(`${layer}.tar.gz`)]);
  const blob = fs.readdirSync(directory).find(name => name !== 'boot')!;
  return { directory, boot, blob: path.join(directory, blob) };
};

const unpacked = async (t: Test, bootstrap: string, blob: string): Promise<Buffer> => {
  const output = path.join(temporaryDirectory(t), 'out.tar');
  await unpack({ bootstrap, blob, output }, recordedIo());
  return fs.readFileSync(output);
};

/** What a deep check says it has verified. */
const verified = async (bootstrap: string, blobDir: string): Promise<string> => {
  const io = recordedIo();
  await check({ bootstrap, blobDir }, io);
  t.same(io.logged.warn, []);
  return io.logged.info.find(line => line.startsWith('verified')) ?? '';
};

/** A copy of a bootstrap in which the key of its only blob has another byte. */
const withOtherKey = (t: Test, image: Buffer): string => {
  const altered = Buffer.from(image);
  const { tables } = parseBootstrap(image);
  altered[tables.blob.offset + BlobEntry.offsets.metaDigest + 5]! ^= 1;
  const boot = path.join(temporaryDirectory(t), 'boot');
  fs.writeFileSync(boot, altered);
  return boot;
};

const WAYS = [
  [],
  ['--batch-size', '0x1000', '--features', 'blob-toc'],
  ['--batch-size', '0x100000'],
];

t.test('batches and encryption change how content is stored, and nothing else', async t => {
  // one has chunks of a few bytes only
  for (const layer of ['kinds', 'loose']) {
    const plain = await build(t, layer, ['--compressor', 'none']);
    const due = await unpacked(t, plain.boot, plain.blob);
    const all = await verified(plain.boot, plain.directory);
    t.match(all, /^verified \d+ chunks, \d+ bytes, in 1 blobs$/);
    for (const compressor of ['none', 'lz4_block', 'zstd']) {
      for (const way of WAYS) {
        const options = ['--compressor', compressor, '--encrypt', ...way];
        const image = await build(t, layer, options);
        const what = `${layer}: ${options.join(' ')}`;
        t.ok((await unpacked(t, image.boot, image.blob)).equals(due), what);
        t.equal(await verified(image.boot, image.directory), all, what);
        if (layer !== 'kinds') continue;
        t.ok(fs.readFileSync(plain.blob).includes('root:x:'), 'in a blob in clear');
        t.notOk(fs.readFileSync(image.blob).includes('root:x:'), `${what}: hidden`);
      }
    }
  }
});

t.test('a blob that has its bootstrap in it', async t => {
  const blob = path.join(temporaryDirectory(t), 'blob');
  const argv = ['create', '-l', 'warn', '-t', 'targz-rafs', '-b', blob, '--encrypt'];
  const more = ['--batch-size', '0x10000', '--blob-inline-meta', '--features', 'blob-toc'];
  await succeed(t, [...argv, ...more, layerPath('kinds.tar.gz')]);
  const io = recordedIo();
  await check({ bootstrap: blob }, io);
  t.match(io.logged.info.at(-1), /^verified 11 chunks, /);
  const plain = await build(t, 'kinds', []);
  t.ok((await unpacked(t, blob, blob)).equals(await unpacked(t, plain.boot, plain.blob)));
});

t.test('two builds have nothing in common but their content', async t => {
  const one = await build(t, 'kinds', ['--encrypt']);
  const other = await build(t, 'kinds', ['--encrypt']);
  const first = fs.readFileSync(one.blob);
  const second = fs.readFileSync(other.blob);
  t.equal(first.length, second.length);
  let same = 0;
  for (let i = 0; i < first.length; i++) if (first[i] === second[i]) same++;
  t.ok(same < first.length / 64, `${same} of ${first.length} bytes by chance`);
});

t.test('what nydus-image encrypted', async t => {
  const due = await unpacked(t, path.join(goldenFolder(KINDS), 'boot'), goldenBlob(KINDS));
  for (const name of ENCRYPTED) {
    const boot = path.join(goldenFolder(name), 'boot');
    t.ok((await unpacked(t, boot, goldenBlob(name))).equals(due), name);
    t.match(await verified(boot, goldenFolder(name)), /^verified 11 chunks, 34851 bytes/, name);
  }
});
const KINDS = 'tar-rafs.kinds.zstd.v6';
const ENCRYPTED = ['encrypt.kinds.zstd', 'encrypt.batch.kinds.lz4_block'];

t.test('another key is refused', async t => {
  for (const name of ENCRYPTED) {
    const bootstrap = withOtherKey(t, golden(name));
    const checked = await failureOf(
      check({ bootstrap, blobDir: goldenFolder(name) }, recordedIo()),
    );
    t.match(checked?.code, /^(CORRUPT|MISMATCH)$/, `${name}: ${checked?.message}`);
    const tar = failureOf(unpacked(t, bootstrap, goldenBlob(name)));
    t.match((await tar)?.code, /^(CORRUPT|MISMATCH)$/, name);
  }
  // with nothing to decompress it is the digest that tells
  const image = await build(t, 'kinds', ['--encrypt', '--compressor', 'none']);
  const bootstrap = withOtherKey(t, fs.readFileSync(image.boot));
  t.match(await failureOf(unpacked(t, bootstrap, image.blob)), {
    code: 'MISMATCH',
    message: /^expected blake3 |the key is wrong$/,
    at: { path: String, chunk: Number },
  });
});

t.test('any change of an encrypted blob is found, and told as an error of its own', async t => {
  const next = numbers(3);
  for (const name of [...ENCRYPTED, 'batch.kinds.zstd']) {
    const bytes = fs.readFileSync(goldenBlob(name));
    const bootstrap = path.join(goldenFolder(name), 'boot');
    const blobDir = temporaryDirectory(t);
    const copy = path.join(blobDir, path.basename(goldenBlob(name)));
    let found = 0;
    for (let i = 0; i < 60; i++) {
      const altered = Buffer.from(bytes);
      altered[next(bytes.length)]! ^= 1 << next(8);
      fs.writeFileSync(copy, i % 6 === 0 ? bytes.subarray(0, next(bytes.length)) : altered);
      // failureOf lets through what is no RafsError
      if (await failureOf(check({ bootstrap, blobDir }, recordedIo()))) found++;
    }
    // a seventh of the blob is the reserved part of the CI header, which says nothing
    t.ok(found >= 40, `${name}: ${found} of 60`);
  }
});

t.test('version 5 has no room for a key', async t => {
  const directory = temporaryDirectory(t);
  const argv = ['create', '-t', 'targz-rafs', '-v', '5', '--encrypt', '-D', directory];
  hasFailed(t, await cli([...argv, layerPath('kinds.tar.gz')]), 'v5', 1, /--encrypt/);
  t.same(fs.readdirSync(directory), []);
});

t.test('the bootstrap says that it is encrypted, even if nothing is', async t => {
  const directory = temporaryDirectory(t);
  const source = path.join(directory, 'empty');
  fs.mkdirSync(source);
  const boot = path.join(directory, 'boot');
  const blob = path.join(directory, 'blob');
  await succeed(t, ['create', '-l', 'warn', '--encrypt', '-B', boot, '-b', blob, source]);
  t.equal(Math.floor(parseBootstrap(fs.readFileSync(boot)).flags / 0x0200_0000) % 2, 1);
});
