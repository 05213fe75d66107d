import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { check } from '../../../../bin/commands/check.js';
import { unpack } from '../../../../bin/commands/unpack.js';
import { parseBootstrap } from '../../../../lib/bootstrap/parse.js';
import { cli, hasFailed, succeed } from '../../../support/process/cli.js';
import { recordedIo } from '../../../support/process/command-io.js';
import { temporaryDirectory } from '../../../support/process/fs.js';
import { goldenPath } from '../../../support/images/golden.js';
import { randomBytes } from '../../../support/random.js';

const VERSIONS = 4;

interface Bench {
  at: (...names: string[]) => string;
  /** bootstraps of the versions, each in a folder named by image and tag */
  boots: string[];
}

/** A directory of files that stay from version to version, and one that does not. */
const writeVersion = (directory: string, version: string): void => {
  fs.mkdirSync(path.join(directory, 'lib'), { recursive: true });
  for (let i = 1; i <= 5; i++) {
    fs.writeFileSync(path.join(directory, 'lib', `f${i}`), randomBytes(3000 * i, i));
  }
  fs.writeFileSync(path.join(directory, 'version'), version);
};

const create = (t: Test, { at }: Bench, source: string, options: readonly string[], boot: string) =>
  succeed(t, [
    ...['create', '-l', 'error', '-t', 'directory', '-B', boot, '-D', at('blobs')],
    ...options,
    source,
  ]);

/** Versions of one image, built with these options. */
const versionsOf = async (t: Test, options: readonly string[]): Promise<Bench> => {
  const directory = temporaryDirectory(t);
  const at = (...names: string[]): string => path.join(directory, ...names);
  const bench: Bench = { at, boots: [] };
  fs.mkdirSync(at('blobs'));
  for (let v = 1; v <= VERSIONS; v++) {
    const folder = at(`registry:app:v${v}`);
    fs.mkdirSync(folder);
    fs.rmSync(at('source'), { recursive: true, force: true });
    writeVersion(at('source'), `${v}`);
    const boot = path.join(folder, 'boot');
    await create(t, bench, at('source'), options, boot);
    bench.boots.push(boot);
  }
  return bench;
};

const generate = (bench: Bench, boot: string, boots = bench.boots): string[] => [
  ...['chunkdict', 'generate', '--database', `sqlite://${bench.at('x.db')}`, '-B', boot],
  ...boots,
];

for (const [what, options] of [
  ['v6', ['--compressor', 'lz4_block', '--digester', 'sha256']],
  ['v6 with digests in the blob', ['--features', 'blob-toc', '--chunk-size', '0x1000']],
  ['batches, encrypted', ['--batch-size', '0x10000', '--encrypt', '--repeatable']],
  ['v5', ['-v', '5']],
] as const) {
  t.test(`${what}: a dictionary that the next version is built with`, async t => {
    const bench = await versionsOf(t, options);
    const { at } = bench;
    const dict = at('dict.boot');
    await succeed(t, [...generate(bench, dict), '-l', 'warn', '-J', at('out.json')]);
    const image = parseBootstrap(fs.readFileSync(dict));
    t.equal(image.blobs.length, 1, 'the blob of the first version has what stays');
    await check({ bootstrap: dict, blobDir: at('blobs') }, recordedIo());
    t.match(JSON.parse(fs.readFileSync(at('out.json'), 'utf8')), {
      bootstrap: dict,
      blobs: [image.blobs[0]!.id],
      fs_version: what === 'v5' ? '5' : '6',
    });

    writeVersion(at('source'), 'the next');
    const plain = at('plain.boot');
    const next = at('next.boot');
    await create(t, bench, at('source'), options, plain);
    await create(t, bench, at('source'), [...options, '--chunk-dict', `bootstrap=${dict}`], next);
    const built = parseBootstrap(fs.readFileSync(next));
    t.equal(built.blobs.length, 2);
    const own = built.blobs.filter(({ id }) => id !== image.blobs[0]!.id);
    t.same(
      own.map(({ chunkCount }) => chunkCount),
      [1],
      'only one chunk is new',
    );
    const io = recordedIo();
    await check({ bootstrap: next, blobDir: at('blobs') }, io);
    t.match(io.logged.info.at(-1), /^verified \d+ chunks, \d+ bytes, in 2 blobs$/);
    const tarOf = async (bootstrap: string): Promise<Buffer> => {
      await unpack({ bootstrap, blobDir: at('blobs'), output: at('tar') }, recordedIo());
      return fs.readFileSync(at('tar'));
    };
    t.ok((await tarOf(next)).equals(await tarOf(plain)));
  });
}

t.test('run again, it knows what it knew', async t => {
  const bench = await versionsOf(t, []);
  const { at, boots } = bench;
  await succeed(t, [...generate(bench, at('none.boot'), boots.slice(0, 1)), '-l', 'warn']);
  t.same(parseBootstrap(fs.readFileSync(at('none.boot'))).blobs, [], 'one version says nothing');
  await succeed(t, [...generate(bench, at('one.boot'), boots.slice(1)), '-l', 'warn']);
  await succeed(t, [...generate(bench, at('two.boot'), boots.slice(0, 1)), '-l', 'warn']);
  const one = fs.readFileSync(at('one.boot'));
  t.equal(parseBootstrap(one).blobs.length, 1);
  t.ok(one.equals(fs.readFileSync(at('two.boot'))), 'rows that repeat add nothing');
  const ran = await cli(generate(bench, at('one.boot'), boots.slice(0, 1)));
  t.match(ran, { exit: 0 });
  t.match(ran.stderr, /It is not recommended to use image deduplication\napp\n/);
});

t.test('into a directory, named by its sha256', async t => {
  const bench = await versionsOf(t, []);
  const argv = generate(bench, '-').filter(arg => !['-B', '-'].includes(arg));
  await succeed(t, [...argv, '-l', 'warn', '-D', bench.at('blobs')]);
  const names = fs.readdirSync(bench.at('blobs')).filter(name => /^[0-9a-f]{64}$/.test(name));
  t.equal(names.length, VERSIONS + 1);
});

t.test('what is refused', async t => {
  const directory = temporaryDirectory(t);
  const at = (...names: string[]): string => path.join(directory, ...names);
  const place = (folder: string, from: string): string => {
    fs.mkdirSync(at(folder));
    fs.copyFileSync(from, at(folder, 'boot'));
    return at(folder, 'boot');
  };
  const good = place('app:v1', goldenPath('tar-rafs.kinds.zstd.v6'));
  const run = async (what: string, text: RegExp, { url = at('x.db'), boot = good } = {}) => {
    const database = url.includes('://') ? url : `sqlite://${url}`;
    const argv = ['chunkdict', 'generate', '-l', 'warn', '--database', database, '-B', at('out')];
    const ran = await cli([...argv, boot]);
    hasFailed(t, ran, what, 1, text);
    t.notOk(fs.existsSync(at('out')), `${what}: no bootstrap`);
    return ran;
  };
  await run('relative', /Invalid database URL: sqlite:\/\/x\.db/, { url: 'sqlite://x.db' });
  await run('no URL', /Invalid database URL: /, { url: 'sqlite://a://b' });
  await run('other', /Unsupported database type: mysql, please use/, { url: 'mysql:///x' });
  await run('no folder', /open/, { url: at('missing', 'x.db') });
  const unnamed = place('untagged', goldenPath('tar-rafs.kinds.zstd.v6'));
  await run('no tag', /Invalid image name None/, { boot: unnamed });
  const tar = place('tar:v1', goldenPath('tarfs.kinds'));
  await run('tarfs', /no digests/, { boot: tar });
  const bad = at('app:v1', 'bad');
  fs.writeFileSync(bad, 'no bootstrap');
  await run('no image', /superblock/, { boot: bad });
  t.notOk(fs.existsSync(at('x.db')), 'nothing was collected');

  fs.copyFileSync(goldenPath('merge.v5'), at('app:v1', 'five'));
  const argv = ['chunkdict', 'generate', '-l', 'warn', '--database', `sqlite://${at('x.db')}`];
  const mixed = await cli([...argv, '-B', at('out'), good, at('app:v1', 'five')]);
  hasFailed(t, mixed, 'versions', 1, /Bootstrap versions are inconsistent, cannot use chunkdict/);
  t.equal(
    mixed.stdout.toString(),
    `Bootstrap path "${good}" has version V6\nBootstrap path "${at('app:v1', 'five')}" has version V5\n`,
  );
  const nowhere = await cli([...argv, good]);
  hasFailed(t, nowhere, 'no target', 1, /both --bootstrap and --blob-dir are missing/);
});
