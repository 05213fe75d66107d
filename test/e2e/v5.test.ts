/** Images of version 5, from a source to what other commands make of them. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { stat } from '../../bin/commands/stat.js';
import { succeed } from '../support/process/cli.js';
import { recordedIo } from '../support/process/command-io.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { expected, goldenBlob, goldenPath } from '../support/images/golden.js';
import { layerTar } from '../support/tar/layers.js';
import { tarOf, type TarEntry } from '../support/tar/tar.js';

const KINDS = 'tar-rafs.kinds.lz4_block.v5';

interface Built {
  directory: string;
  bootstrap: string;
  /** what unpack makes of it */
  tar: Buffer;
}

/** Builds a tar, checks the image with its blobs and unpacks it. */
const build = async (t: Test, tar: Buffer, ...options: string[]): Promise<Built> => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const bootstrap = at('boot');
  fs.writeFileSync(at('in.tar'), tar);
  const quiet = ['--log-level', 'warn'];
  const target = ['-B', bootstrap, '-D', directory];
  await succeed(t, ['create', '-t', 'tar-rafs', ...options, ...target, ...quiet, at('in.tar')]);
  await succeed(t, ['check', bootstrap, '-D', directory, ...quiet]);
  await succeed(t, ['unpack', bootstrap, '-D', directory, '--output', at('out.tar'), ...quiet]);
  return { directory, bootstrap, tar: fs.readFileSync(at('out.tar')) };
};

const json = async (t: Test, bootstrap: string, request: string): Promise<unknown> =>
  JSON.parse((await succeed(t, ['inspect', bootstrap, '-R', request])).stdout.toString());

const verbose = async (t: Test, bootstrap: string): Promise<string[]> =>
  (await succeed(t, ['check', '-v', '-l', 'warn', bootstrap])).stdout.toString().split('\n');

t.test('both versions hold the same layer', async t => {
  for (const layer of ['kinds', 'loose', 'names', 'sizes', 'orphans', 'layer-0', 'layer-1']) {
    const tar = layerTar(layer);
    const v6 = await build(t, tar, '--compressor', 'lz4_block');
    const v5 = await build(t, tar, '-v', '5', '--compressor', 'lz4_block');
    t.ok(v5.tar.equals(v6.tar), layer);
    const aligned = await build(t, tar, '-v', '5', '--aligned-chunk', '--digester', 'sha256');
    t.ok(aligned.tar.equals(v6.tar), `${layer}, aligned`);
  }
});

t.test('a directory, to the byte', async t => {
  // sums were made by nydus-image
  const directory = temporaryDirectory(t);
  const source = path.join(directory, 'source');
  fs.mkdirSync(path.join(source, 'd'), { recursive: true });
  fs.writeFileSync(path.join(source, 'f'), 'hi\n');
  fs.symlinkSync('../f', path.join(source, 'd', 's'));
  fs.chmodSync(source, 0o755);
  fs.chmodSync(path.join(source, 'd'), 0o755);
  fs.chmodSync(path.join(source, 'f'), 0o644);
  fs.utimesSync(path.join(source, 'f'), 2, 2);
  fs.lutimesSync(path.join(source, 'd', 's'), 3, 3);
  fs.utimesSync(path.join(source, 'd'), 4, 4);
  const options = '-v 5 --digester sha256 --compressor none --repeatable --log-level warn'.split(
    ' ',
  );
  const [bootstrap, blob] = [path.join(directory, 'boot'), path.join(directory, 'blob')];
  await succeed(t, ['create', '-t', 'dir-rafs', ...options, '-B', bootstrap, '-b', blob, source]);
  const sum = (file: string): string =>
    createHash('sha256').update(fs.readFileSync(file)).digest('hex');
  t.equal(sum(bootstrap), 'b4f0da223f388c23397007cac59c688c502ad2541ad3cdd28f30dee6c96ace1f');
  t.equal(sum(blob), '98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4');
  t.equal(fs.statSync(path.join(directory, 'boot.external')).size, 8336);
});

t.test('an inlined bootstrap is found, and holds the same', async t => {
  const directory = temporaryDirectory(t);
  const made = goldenPath('inline.kinds.v5', 'blob');
  const source = path.join(directory, 'in.tar');
  const blob = path.join(directory, 'blob');
  fs.writeFileSync(source, layerTar('kinds'));
  const options = '-t tar-rafs -v 5 --compressor lz4_block --digester sha256'.split(' ');
  const inline = ['--blob-inline-meta', '-b', blob, '--log-level', 'warn'];
  await succeed(t, ['create', ...options, ...inline, source]);
  t.ok(fs.readFileSync(blob).equals(fs.readFileSync(made)), 'as nydus-image made it');
  const { stdout } = await succeed(t, ['check', made, '-l', 'warn']);
  t.match(
    stdout.toString(),
    '0: blob, compressed size 25215, uncompressed size 34851, ' +
      'chunk size: 1048576, chunk count: 11, features: cap_toc fs-meta tar-header',
  );
  const out = path.join(directory, 'out.tar');
  await succeed(t, ['unpack', made, '--output', out, '-l', 'warn']);
  const apart = path.join(directory, 'apart.tar');
  const boot = goldenPath(KINDS);
  await succeed(t, ['unpack', boot, '-b', goldenBlob(KINDS), '--output', apart, '-l', 'warn']);
  t.ok(fs.readFileSync(out).equals(fs.readFileSync(apart)));
});

t.test('statistics are those of nydus-image', async t => {
  const due = expected().find(({ id }) => id === 'stat.merge.v5')!.json;
  const result = await stat({ bootstrap: goldenPath('merge.v5'), quiet: true }, recordedIo());
  t.equal(JSON.stringify(result), JSON.stringify(due));
});

/** Names in a tar, as GNU tar lists them. */
const list = (tar: Buffer): string[] =>
  execFileSync('tar', ['-tf', '-'], { input: tar }).toString().trim().split('\n');

t.test('where nydus-image fails or writes what it cannot read', async t => {
  const both = async (what: string, entries: TarEntry[], names: string[]): Promise<Built> => {
    const tar = tarOf(entries);
    const v5 = await build(t, tar, '-v', '5');
    t.same(list(v5.tar), names, what);
    t.ok(v5.tar.equals((await build(t, tar)).tar), `${what}, as in v6`);
    return v5;
  };
  const directory = (name: string): TarEntry => ({ name, type: '5', mode: 0o755 });
  await both(
    'a parent that is not there, after another directory',
    [directory('z/'), { name: 'a/f', content: 'x' }],
    ['a', 'a/f', 'z'],
  );
  await both(
    'a parent that comes late',
    [{ name: 'a/b/f', content: 'x' }, directory('a/'), { name: 'a/b/g', content: 'y' }],
    ['a', 'a/b', 'a/b/f', 'a/b/g'],
  );
  await both(
    'a directory that becomes a file',
    [directory('a/'), { name: 'a/f', content: 'x' }, { name: 'a', content: 'y' }],
    ['a'],
  );
  const { bootstrap } = await both(
    'a hardlink without the xattrs of its target',
    [
      { name: 'f', content: 'x', pax: [['SCHILY.xattr.user.a', '1']] },
      { name: 'g', type: '1', link: 'f' },
      { name: 'h', content: 'z' },
    ],
    ['f', 'g', 'h'],
  );
  const lines = await verbose(t, bootstrap);
  for (const name of ['f', 'g']) {
    t.match(
      lines.find(line => line.includes(`"/${name}"`)),
      /^inode: hardlink .* ino 2 .* i_nlink 2 .* has_xattr true /,
    );
  }
});

t.test('what a tar says of a further name holds for the file, as when it is unpacked', async t => {
  const { bootstrap, tar } = await build(
    t,
    tarOf([
      { name: 'f', content: 'x', mode: 0o600, mtime: 5 },
      { name: 'd/g', type: '1', link: 'f', mode: 0o644, mtime: 6 },
    ]),
    '-v',
    '5',
  );
  const lines = await verbose(t, bootstrap);
  t.match(
    lines.find(line => line.includes('"/f"')),
    / ino 3 .* i_mtime 6 /,
  );
  t.match(
    lines.find(line => line.includes('"/d/g"')),
    / ino 3 .* i_mtime 6 /,
  );
  t.same(list(tar), ['d', 'd/g', 'f']);
});

t.test('prefetch: a table, or what is to be read ahead', async t => {
  const directory = temporaryDirectory(t);
  const source = path.join(directory, 'source');
  fs.mkdirSync(path.join(source, 'x'), { recursive: true });
  fs.writeFileSync(path.join(source, 'a'), 'a'.repeat(100));
  fs.writeFileSync(path.join(source, 'x', 'b'), 'b'.repeat(3000));
  fs.writeFileSync(path.join(source, 'x', 'c'), 'c'.repeat(200));
  fs.linkSync(path.join(source, 'x', 'b'), path.join(source, 'x', 'd'));
  const make = async (policy: string): Promise<string> => {
    const bootstrap = path.join(directory, policy);
    const options = ['-v', '5', '--compressor', 'none', '--prefetch-policy', policy];
    const blob = path.join(directory, `${policy}.data`);
    await succeed(
      t,
      ['create', '-t', 'dir-rafs', ...options, '-B', bootstrap, '-b', blob, '-l', 'warn', source],
      { stdin: '/x/d\n/x\n' },
    );
    return bootstrap;
  };
  const fs5 = await make('fs');
  t.same(await json(t, fs5, 'prefetch'), [
    { inode: 4, path: ['/x/b/'] },
    { inode: 3, path: ['/x/'] },
  ]);
  t.match(await json(t, fs5, 'blobs'), [{ readahead_offset: 0, readahead_size: 0 }]);
  const blob = await make('blob');
  t.same(await json(t, blob, 'prefetch'), []);
  t.match(await json(t, blob, 'blobs'), [{ readahead_offset: 0, readahead_size: 3200 }]);
  t.match(await json(t, await make('none'), 'blobs'), [{ readahead_size: 0 }]);
});

t.test('owners that are not to be recorded', async t => {
  const tar = tarOf([
    { name: 'f', content: 'x', uid: 7, gid: 8 },
    { name: 'g', type: '1', link: 'f', uid: 9, gid: 10 },
  ]);
  for (const version of ['5', '6']) {
    const owners = async (...options: string[]): Promise<string[]> => {
      const { bootstrap } = await build(t, tar, '-v', version, ...options);
      const { stdout } = await succeed(t, ['inspect', bootstrap, '-R', 'stat f']);
      return [...stdout.toString().matchAll(/^[UG]ID: +(\d+)/gm)].map(([, id]) => id!);
    };
    t.same(await owners('--repeatable'), ['0', '0'], `v${version}`);
    t.not((await owners())[0], '0', `v${version}, recorded`);
  }
});
