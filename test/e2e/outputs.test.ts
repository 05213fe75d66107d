/** Outputs that would overwrite one another or what is read, and outputs in the source directory. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { makeFifo, shell, temporaryDirectory } from '../support/process/fs.js';
import { tarOf } from '../support/tar/tar.js';

const QUIET = ['-l', 'warn'];

const folder = async (t: Test) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  fs.writeFileSync(at('tar'), tarOf([{ name: 'a', content: 'x' }]));
  fs.mkdirSync(at('blobs'));
  const create = ['create', ...QUIET, '-t', 'tar-rafs', '-B', at('boot'), '-D', at('blobs')];
  await succeed(t, [...create, at('tar')]);
  const [id] = fs.readdirSync(at('blobs'));
  fs.linkSync(at('boot'), at('hard'));
  fs.symlinkSync('boot', at('soft'));
  fs.writeFileSync(at('prefetch.json'), '{"version":"v1","files":[{"path":"/a"}]}');
  return { directory, at, id: id! };
};

const bytesBelow = (directory: string): Map<string, string> => {
  const files = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  const plain = files.filter(name => fs.statSync(path.join(directory, name)).isFile());
  return new Map(plain.map(name => [name, fs.readFileSync(path.join(directory, name), 'latin1')]));
};

t.test('no output overwrites another, or what is read', async t => {
  const { directory, at, id } = await folder(t);
  const blobs = at('blobs');
  const before = bytesBelow(directory);
  const tar = ['create', '-t', 'tar-rafs'];
  const cases: string[][] = [
    [...tar, '-B', at('x'), '-b', at('x'), at('tar')],
    [...tar, '-B', at('x'), '-b', `${directory}/./x`, at('tar')],
    [...tar, '-J', at('z'), '-b', at('z'), '--blob-inline-meta', at('tar')],
    [...tar, '-B', at('soft'), '-b', at('hard'), at('tar')],
    [...tar, '-B', at('x'), '-b', at('tar'), at('tar')],
    [
      ...tar,
      '-B',
      at('x'),
      '-b',
      at('y'),
      '--parent-bootstrap',
      at('boot'),
      '-J',
      at('boot'),
      at('tar'),
    ],
    [
      ...tar,
      '-B',
      at('x'),
      '-b',
      at('y'),
      '--chunk-dict',
      `bootstrap=${at('hard')}`,
      '-J',
      at('boot'),
      at('tar'),
    ],
    [...tar, '-B', at('x.log'), '-b', at('y'), '-L', at('x'), at('tar')],
    ['create', '-t', 'dir-rafs', '-B', at('x.external'), '-D', blobs, blobs],
    ['create', '-t', 'dir-rafs', '-B', at('x'), '-D', blobs, '-J', at('x.external'), blobs],
    ['merge', '-B', at('boot'), at('boot')],
    ['merge', '-B', at('x'), '-J', at('x'), at('boot')],
    ['merge', '-B', at('x'), '-J', at('soft'), at('boot')],
    ['check', '-J', at('boot'), at('hard')],
    ['stat', '-B', at('boot'), '-J', at('soft')],
    ['unpack', '-D', blobs, '--output', at('boot'), at('boot')],
    ['unpack', '-D', blobs, '--output', path.join(blobs, id), at('boot')],
    ['unpack', '-b', path.join(blobs, id), '--output', path.join(blobs, id), at('boot')],
    ['export', '--block', '-B', at('boot'), '-D', blobs, '-O', at('soft')],
    ['export', '--block', '-B', at('boot'), '-D', blobs, '-O', path.join(blobs, id)],
    ['export', '--block', '-B', at('boot'), '-D', blobs, '-J', path.join(blobs, 'boot.disk')],
    ['compact', '-B', at('boot'), '-D', blobs, '-O', at('boot')],
    ['compact', '-B', at('boot'), '-D', blobs, '-J', at('boot.bootstrap.compact')],
    [
      'optimize',
      '-B',
      at('boot'),
      '-D',
      blobs,
      '-O',
      at('hard'),
      '--output-blob-dir',
      blobs,
      '-p',
      at('prefetch.json'),
    ],
    [
      'optimize',
      '-B',
      at('boot'),
      '-D',
      blobs,
      '-O',
      at('prefetch.json'),
      '--output-blob-dir',
      blobs,
      '-p',
      at('prefetch.json'),
    ],
    ['chunkdict', 'generate', '--database', `sqlite://${at('x')}`, '-B', at('x'), at('boot')],
    ['convert', 'oci-archive:x.tar', `oci-archive:${at('y')}`, '-J', at('y')],
  ];
  for (const argv of cases) {
    const ran = await cli([...argv, '-l', 'warn'], { cwd: directory });
    hasFailed(t, ran, argv.join(' ').replaceAll(directory, ''), 2, /the same file/);
    t.same(bytesBelow(directory), before, 'nothing is changed');
  }
});

t.test('whoever waits at a FIFO is not left waiting', async t => {
  const { at } = await folder(t);
  makeFifo(at('fifo'));
  const [read] = await Promise.all([
    shell('cat "$1"', at('fifo')),
    cli(['create', '-t', 'tar-rafs', '-B', at('fifo'), '-b', at('fifo'), at('tar')]),
  ]);
  t.equal(read.length, 0);
});

t.test('what a build writes into its source directory is not part of the layer', async t => {
  const { at } = await folder(t);
  const source = at('src');
  fs.mkdirSync(path.join(source, 'sub'), { recursive: true });
  fs.writeFileSync(path.join(source, 'a'), 'content');
  fs.symlinkSync(source, at('link'));
  const argv = ['create', ...QUIET, '-t', 'dir-rafs', '-B', `${at('link')}/sub/boot`];
  const outputs = ['-b', `${source}/blob`, '-J', `${source}/sub/out.json`];
  const due = ['a', 'sub'];
  for (const round of ['first', 'again, over its files']) {
    await succeed(t, [...argv, ...outputs, source]);
    const unpack = ['unpack', ...QUIET, '-b', `${source}/blob`, '--output', at('tar')];
    await succeed(t, [...unpack, `${source}/sub/boot`]);
    const names = execFileSync('tar', ['-tf', at('tar')], { encoding: 'utf8' })
      .trim()
      .split('\n');
    t.same(names, due, round);
  }
  fs.rmSync(`${source}/blob`);
  await succeed(t, [...argv, '-D', source, '-L', `${source}/log.txt`, source]);
  const unpack = ['unpack', ...QUIET, '-D', source, '--output', at('tar'), `${source}/sub/boot`];
  await succeed(t, unpack);
  const names = execFileSync('tar', ['-tf', at('tar')], { encoding: 'utf8' })
    .trim()
    .split('\n');
  t.same(names, ['a', 'sub', 'sub/out.json'], 'files of an earlier build are as any others');
});
