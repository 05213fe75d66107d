/** create, run as a process: where its results go and what it says. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cli, hasFailed, succeed } from '../../support/process/cli.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { layerPath, layerTar } from '../../support/tar/layers.js';
import { filesBelow } from '../../support/process/left.js';

const SOURCE = layerPath('kinds.tar.gz');
const CREATE = ['create', '-l', 'warn', '-t', 'targz-rafs'];

const sha256 = (file: string): string =>
  createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** A folder, and paths in it. */
const folder = (t: Test) => {
  const out = temporaryDirectory(t);
  return { out, at: (name: string): string => path.join(out, name) };
};

const mode = (file: string): string => (fs.statSync(file).mode & 0o777).toString(8);

const json = (file: string): Record<string, unknown> =>
  JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, unknown>;

t.test('a blob in a directory is named by its digest', async t => {
  const { out, at } = folder(t);
  const argv = [...CREATE, '-B', at('boot'), '-D', out, '-J', at('out.json'), SOURCE];
  t.equal((await succeed(t, argv)).stdout.length, 0, 'nothing on stdout');
  const id = filesBelow(out).find(name => /^[0-9a-f]{64}$/.test(name))!;
  t.same(filesBelow(out), [id, 'boot', 'out.json'].sort());
  t.equal(sha256(at(id)), id);
  t.match(json(at('out.json')), {
    bootstrap: at('boot'),
    blobs: [id],
    fs_version: '6',
    compressor: 'zstd',
  });
  fs.writeFileSync(at('usual'), '');
  t.equal(mode(at('boot')), mode(at('usual')), 'a named file is as the umask says');
  fs.rmSync(at('usual'));
  t.equal(mode(at(id)), '600', 'a file in a directory is private');

  const before = fs.statSync(at(id)).ino;
  await succeed(t, argv);
  t.equal(fs.statSync(at(id)).ino, before, 'a blob that is there stays');
  t.same(filesBelow(out), [id, 'boot', 'out.json'].sort());
});

t.test('files that are there are replaced, and keep their permissions', async t => {
  const { out, at } = folder(t);
  for (const name of ['boot', 'blob']) {
    fs.writeFileSync(at(name), 'x'.repeat(1000000));
    fs.chmodSync(at(name), 0o640);
  }
  fs.symlinkSync('blob', at('link'));
  await succeed(t, [...CREATE, '-B', at('boot'), '-b', at('link'), SOURCE]);
  t.ok(fs.lstatSync(at('link')).isSymbolicLink(), 'a link stays one');
  t.same(filesBelow(out), ['blob', 'boot', 'link']);
  for (const name of ['boot', 'blob']) {
    t.equal(mode(at(name)), '640', name);
    t.ok(fs.statSync(at(name)).size < 1000000, name);
  }
  await succeed(t, ['check', '-l', 'warn', at('boot')]);
});

t.test('an id that was given', async t => {
  const { out, at } = folder(t);
  const id = 'f'.repeat(64);
  const argv = ['-B', at('boot'), '-b', at('blob'), '--blob-id', id, '-J', at('out.json')];
  await succeed(t, [...CREATE, ...argv, SOURCE]);
  t.same(json(at('out.json')).blobs, [id]);
  t.same(filesBelow(out), ['blob', 'boot', 'out.json']);
});

t.test('a layer without content has no blob', async t => {
  const { out, at } = folder(t);
  const source = layerPath('fifo-blank-dev.tar.gz');
  await succeed(t, [...CREATE, '-B', at('boot'), '-D', out, '-J', at('out.json'), source]);
  t.same(json(at('out.json')).blobs, []);
  t.same(filesBelow(out), ['boot', 'out.json']);
});

t.test('a directory', async t => {
  const { out, at } = folder(t);
  const source = temporaryDirectory(t);
  fs.writeFileSync(path.join(source, 'file'), 'content');
  for (const type of ['dir-rafs', 'directory']) {
    const argv = ['create', '-l', 'error', '-t', type, '-B', at('a.boot'), '-D', out];
    t.match(await cli([...argv, source]), { exit: 0, stderr: '' }, type);
  }
  const [id = ''] = filesBelow(out);
  t.same(filesBelow(out), [id, 'a.boot', 'a.external'], 'files of its own have a bootstrap');
  t.equal(sha256(at(id)), id);
});

t.test('what it says', async t => {
  const { at } = folder(t);
  const argv = ['create', '-t', 'targz-rafs', '-B', at('boot'), '-b', at('blob'), SOURCE];
  const loud = await cli(argv);
  t.match(loud, { exit: 0, stderr: /INFO successfully built RAFS filesystem/ });
  t.equal(loud.stdout.length, 0, 'nothing on stdout');
  const logged = await succeed(t, [...argv, '-L', at('log')]);
  t.equal(logged.stdout.length, 0);
  t.match(fs.readFileSync(at('log.log'), 'utf8'), /successfully built/, 'in a file instead');

  const counted = await cli([...argv, '--progress', 'json', '-l', 'warn']);
  const lines = counted.stderr
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);
  t.match(lines.at(-1), {
    event: 'done',
    bytes_in: fs.statSync(SOURCE).size,
    bytes_out: fs.statSync(at('boot')).size + fs.statSync(at('blob')).size,
    files: Number,
  });
});

t.test('patterns of files to prefetch', async t => {
  const { at } = folder(t);
  const source = layerPath('layer-0.tar.gz');
  const argv = [...CREATE, '-B', at('boot'), '-b', at('blob'), source];
  const request = ['inspect', '-B', at('boot'), '-R', 'prefetch'];
  const listed = async (): Promise<unknown> =>
    JSON.parse((await cli(request)).stdout.toString()) as unknown;

  await succeed(t, argv, { stdin: '/opt/app/data\n' });
  t.same(await listed(), [], 'not read without a policy');
  const policy = ['--prefetch-policy', 'fs'];
  await succeed(t, [...argv, ...policy], { stdin: '/opt/app/data\n/bin/sh' });
  t.match(await listed(), [{ path: ['/opt/app/data/'] }, { path: ['/bin/ash', '/bin/sh'] }]);
  const relative = await cli([...argv, ...policy], { stdin: 'bin/sh\n' });
  t.match(relative, { exit: 0, stderr: /WARN .*bin\/sh/ }, 'what is no absolute path is told');
});

t.test('what cannot be written at the end is found at the beginning', async t => {
  const { out, at } = folder(t);
  for (const target of [at('none/out.json'), out]) {
    const argv = [...CREATE, '-B', at('boot'), '-D', out, '-J', target, SOURCE];
    hasFailed(t, await cli(argv), target, 1);
    t.same(filesBelow(out), [], 'nothing is built');
  }
});

t.test('options that contradict each other', async t => {
  const { out, at } = folder(t);
  const bad: readonly (readonly string[])[] = [
    ['--chunk-size', '0x1001'],
    ['--chunk-size', '0x2000000'],
    ['--compressor', 'brotli'],
    ['--digester', 'md5'],
    ['--fs-version', '7'],
    ['--blob-id', 'x', '--blob-inline-meta'],
    ['--workers', 'many'],
    ['--no-such-option'],
  ];
  for (const options of bad) {
    const ran = await cli([...CREATE, '-B', at('boot'), '-D', out, ...options, SOURCE]);
    t.ok(ran.exit === 1 || ran.exit === 2, options.join(' '));
    t.match(ran.stderr, /\S/, 'says why');
    t.equal(ran.stdout.length, 0, 'not on stdout');
  }
  t.same(filesBelow(out), []);
});

t.test('the tar of standard input, named in every way', async t => {
  const { at } = folder(t);
  const digests = new Set<string>();
  for (const name of ['-', '/dev/stdin']) {
    const argv = [...CREATE, '--blob-inline-meta', '-b', at('blob'), name];
    await succeed(t, argv, { stdin: layerTar('kinds') });
    digests.add(sha256(at('blob')));
  }
  t.equal(digests.size, 1);
});
