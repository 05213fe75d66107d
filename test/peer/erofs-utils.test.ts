/**
 * Images of layers, read by erofs-utils.
 *
 * They read uncompressed blocks at the places that the metadata give: a blob as nydusd caches it,
 * which --blob-cache-dir makes, is the device with these blocks. Of a blob itself, whose chunks are
 * packed or compressed, they can read no content, and without a device they refuse the image.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { succeed } from '../support/process/cli.js';
import { isRoot, temporaryDirectory } from '../support/process/fs.js';
import { layerPath, madeTar } from '../support/tar/layers.js';

const lacks = (program: string, ...argv: string[]): string | false =>
  spawnSync(program, argv).error !== undefined && `needs ${program}`;

const noFsck = lacks('fsck.erofs', '-V');
const noDump = lacks('dump.erofs', '-V');

/** A bootstrap, the device with its blocks, and its source extracted by GNU tar. */
const built = async (t: Test, source: string) => {
  const work = temporaryDirectory(t);
  const [boot, cache] = [path.join(work, 'boot'), path.join(work, 'cache')];
  const directory = path.join(work, 'source');
  for (const folder of [cache, directory]) fs.mkdirSync(folder);
  const argv = ['create', '-l', 'warn', '-t', 'tar-rafs', '-B', boot, '--blob-cache-dir', cache];
  await succeed(t, [...argv, source]);
  const data = fs.readdirSync(cache).find(name => name.endsWith('.blob.data'))!;
  const tar = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', source];
  execFileSync('tar', [...tar, '-C', directory]);
  return { work, boot, device: path.join(cache, data), directory };
};

/** Differences of two directories as GNU tar sees them. */
const differences = (source: string, directory: string): string[] => {
  const list = ['--numeric-owner', '-cf', '-', '-C', source, '.'];
  const tar = execFileSync('tar', list, { maxBuffer: 0x10000000 });
  const argv = ['--numeric-owner', '--compare', '-f', '-', '-C', directory];
  const { stdout, stderr } = spawnSync('tar', argv, { input: tar });
  return `${stdout.toString()}${stderr.toString()}`.split('\n').filter(line => line !== '');
};

const made = (t: Test): string => {
  const source = path.join(temporaryDirectory(t), 'debian.tar');
  fs.writeFileSync(source, madeTar('debian', { scale: 0.03 }));
  return source;
};

/** Layers, and which differences come of fsck.erofs or of a tar's times, not of the image. */
const SOURCES: readonly [name: string, at: (t: Test) => string, not?: RegExp][] = [
  ['sample', () => layerPath('sample.tar.gz')],
  ['names', () => layerPath('names.tar.gz')],
  ['sizes', () => layerPath('sizes.tar.gz')],
  [
    'kinds',
    () => layerPath('kinds.tar.gz'),
    // it makes a file of each hardlink, and loses set-id bits when it sets the owner
    /: Not linked to |\/(su|wall): Mode differs|\/ns-mtime: Mod time differs/,
  ],
  ['a Debian-like tree', made],
];

const skip = noFsck || (!isRoot && 'needs root, to extract owners');

t.test('fsck.erofs extracts what was in the layer', { skip }, async t => {
  for (const [name, at, not] of SOURCES) {
    const { work, boot, device, directory } = await built(t, at(t));
    const out = path.join(work, 'out');
    const argv = [`--device=${device}`, `--extract=${out}`, boot];
    const { status, stderr } = spawnSync('fsck.erofs', argv);
    t.equal(status, 0, `${name}: accepted ${stderr.toString()}`);
    const seen = differences(directory, out).filter(line => !not?.test(line));
    t.same(seen, [], `${name}: equals the source`);
  }
});

t.test('fsck.erofs, with the blob itself as the device', { skip: noFsck }, async t => {
  const work = temporaryDirectory(t);
  const [boot, blob] = [path.join(work, 'boot'), path.join(work, 'blob')];
  for (const compressor of ['none', 'lz4_block', 'zstd']) {
    const argv = ['create', '-l', 'error', '-t', 'targz-rafs', '-B', boot, '-b', blob];
    await succeed(t, [...argv, '--compressor', compressor, layerPath('kinds.tar.gz')]);
    const { status } = spawnSync('fsck.erofs', [`--device=${blob}`, boot]);
    t.equal(status, 0, `${compressor}: the metadata are accepted`);
    t.comment(`${compressor}: left out: content, whose chunks are no blocks of a device`);
    t.not(spawnSync('fsck.erofs', [boot]).status, 0, 'refused without its device');
  }
});

t.test('dump.erofs counts what was in the layer', { skip: noDump }, async t => {
  const { boot, device, directory } = await built(t, layerPath('kinds.tar.gz'));
  const said = execFileSync('dump.erofs', ['-S', `--device=${device}`, boot]).toString();
  const count = (what: string): number =>
    Number(new RegExp(`Filesystem ${what} count:\\s+(\\d+)`).exec(said)?.[1]);
  const find = (type: string): number =>
    execFileSync('find', [directory, '-type', type, '-printf', 'x']).length;
  t.equal(count('directory'), find('d'), 'directories');
  t.equal(count('symlink file'), find('l'), 'symlinks');
  if (isRoot) {
    t.equal(count('char dev'), find('c'), 'char devices');
    t.equal(count('block dev'), find('b'), 'block devices');
    t.equal(count('FIFO file'), find('p'), 'FIFOs');
  } else t.comment('left out: devices, which cannot be extracted without root');
});
