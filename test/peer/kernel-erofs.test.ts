/** The kernel's EROFS mounts what we make: the tree is that of the tar, extracted by GNU tar. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { succeed } from '../support/process/cli.js';
import { factsBelow, mountErofs, withoutErofs } from '../support/peers/erofs-tools.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { layerTar } from '../support/tar/layers.js';

const skip = withoutErofs();
const ID = 'd'.repeat(64);
const LAYERS = ['kinds', 'loose', 'sizes', 'sample', 'layer-0', 'xattrs'];

/** The tar as a file, and extracted. */
const layer = (t: Test, name: string) => {
  const directory = temporaryDirectory(t);
  const tar = path.join(directory, 'tar');
  fs.writeFileSync(tar, layerTar(name));
  const tree = path.join(directory, 'tree');
  fs.mkdirSync(tree);
  const attributes = ['--numeric-owner', '--xattrs', '--xattrs-include=*'];
  const extract = ['-xpf', tar, '--delay-directory-restore', ...attributes, '-C', tree];
  execFileSync('tar', extract);
  return { directory, tar, tree };
};

const compare = (t: Test, tree: string, mounted: string, tar: string): void => {
  const due = factsBelow(tree);
  const got = factsBelow(mounted);
  // a tar without './' does not say what the root is like
  const rooted = /^\.\/$/m.test(execFileSync('tar', ['-tf', tar], { encoding: 'latin1' }));
  t.same([...got.keys()].sort(), [...due.keys()].sort(), 'names');
  // directories without an entry of their own are made as of now by tar, and of 1970 by us
  const own = new Set(
    execFileSync('tar', ['-tf', tar], { encoding: 'latin1' })
      .split('\n')
      .map(name => path.join('.', name).replace(/\/$/, '')),
  );
  for (const [name, fact] of due) {
    if (name === '.' && !rooted) continue;
    if (!own.has(name) && fact.content === undefined) fact.mtime = got.get(name)!.mtime;
    t.same(got.get(name), fact, name);
  }
};

for (const name of LAYERS) {
  t.test(`${name}: Tarfs bootstrap and tar`, { skip }, async t => {
    const { directory, tar, tree } = layer(t, name);
    const boot = path.join(directory, 'boot');
    const argv = ['create', '-t', 'tar-tarfs', '--blob-id', ID, '-B', boot, '-D', directory];
    await succeed(t, [...argv, '-l', 'error', tar]);
    const point = path.join(directory, 'mnt');
    mountErofs(t, point, boot, [tar]);
    compare(t, tree, point, tar);
  });

  t.test(`${name}: block image of Tarfs`, { skip }, async t => {
    const { directory, tar, tree } = layer(t, name);
    const boot = path.join(directory, 'boot');
    const argv = ['create', '-t', 'tar-tarfs', '--blob-id', ID, '-B', boot, '-D', directory];
    await succeed(t, [...argv, '-l', 'error', tar]);
    fs.copyFileSync(tar, path.join(directory, ID));
    const disk = path.join(directory, 'disk');
    await succeed(t, ['export', '--block', '-B', boot, '-D', directory, '-O', disk, '-l', 'error']);
    const point = path.join(directory, 'mnt');
    mountErofs(t, point, disk);
    compare(t, tree, point, tar);
  });

  t.test(`${name}: block image of Native, zstd`, { skip }, async t => {
    const { directory, tar, tree } = layer(t, name);
    const boot = path.join(directory, 'boot');
    const native = ['create', '-t', 'tar-rafs', '--compressor', 'zstd', '-B', boot];
    await succeed(t, [...native, '-D', directory, '-l', 'error', tar]);
    const disk = path.join(directory, 'disk');
    const argv = ['export', '--block', '--verity', '-B', boot, '-D', directory, '-O', disk];
    await succeed(t, [...argv, '-l', 'error']);
    const point = path.join(directory, 'mnt');
    mountErofs(t, point, disk);
    compare(t, tree, point, tar);
  });
}

t.test('three layers: Native and Tarfs mount alike, as the unpacked image', { skip }, async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const mounted: string[] = [];
  for (const [type, verity] of [
    ['tar-rafs', []],
    ['tar-tarfs', ['--verity']],
  ] as const) {
    const blobs = at(type);
    fs.mkdirSync(blobs);
    const boots: string[] = [];
    for (const n of [0, 1, 2]) {
      const id = String(n).repeat(64);
      const tar = path.join(blobs, `${id}.source`);
      fs.writeFileSync(tar, layerTar(`layer-${n}`));
      const folder = at(`${type}-${n}`);
      fs.mkdirSync(folder);
      boots.push(path.join(folder, 'layer.boot'));
      const argv = ['create', '-t', type, '-B', boots[n]!, '-D', blobs, '--blob-id', id];
      await succeed(t, [...argv, '-l', 'error', tar]);
      if (type === 'tar-tarfs') fs.copyFileSync(tar, path.join(blobs, id));
    }
    const image = at(`${type}.boot`);
    // base names are all the same: ids are those in the bootstraps
    const ids =
      type === 'tar-rafs'
        ? ['--original-blob-ids', boots.map((_, n) => String(n).repeat(64)).join(',')]
        : [];
    await succeed(t, ['merge', '-B', image, ...ids, '-l', 'error', ...boots]);
    const disk = at(`${type}.disk`);
    const argv = ['export', '--block', '-D', blobs, '-B', image, '-O', disk, ...verity];
    await succeed(t, [...argv, '-l', 'error']);
    const point = at(`${type}.mnt`);
    mountErofs(t, point, disk);
    mounted.push(point);
  }
  const [native, tarfs] = mounted.map(factsBelow);
  t.ok(native!.size > 10, `${native!.size} names`);
  t.same(tarfs, native);

  const unpacked = at('unpacked.tar');
  const argv = ['unpack', '-B', at('tar-rafs.boot'), '-D', at('tar-rafs'), '-l', 'error'];
  await succeed(t, [...argv, '--output', unpacked]);
  const tree = at('tree');
  fs.mkdirSync(tree);
  const attributes = [
    '--numeric-owner',
    '--xattrs',
    '--xattrs-include=*',
    '--transform',
    's,^/,,rhS',
  ];
  const extract = ['-xpf', unpacked, '-P', '--delay-directory-restore', ...attributes];
  execFileSync('tar', [...extract, '-C', tree]);
  const due = factsBelow(tree);
  for (const facts of [due, native!]) facts.delete('.'); // a tar of a layer has no root
  t.same([...native!.keys()].sort(), [...due.keys()].sort());
  for (const [name, fact] of due) t.same(native!.get(name), fact, name);
});
