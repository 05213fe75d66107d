/** veritysetup accepts an export with the options it prints, and refuses one that is changed. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { succeed } from '../support/process/cli.js';
import { withoutVerity } from '../support/peers/erofs-tools.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { layerTar } from '../support/tar/layers.js';
import { numbers } from '../support/random.js';
import { tarOf } from '../support/tar/tar.js';

const skip = withoutVerity();
const ID = 'e'.repeat(64);

/** A block image with its tree; the options as printed. */
const exported = async (
  t: Test,
  tar: Buffer,
  type: 'tar-tarfs' | 'tar-rafs',
  compressor = 'none',
  more: readonly string[] = [],
) => {
  const directory = temporaryDirectory(t);
  const source = path.join(directory, ID);
  fs.writeFileSync(source, tar);
  const boot = path.join(directory, 'boot');
  const create = ['create', '-t', type, '-B', boot, '-D', directory, '-l', 'error'];
  await succeed(t, [...create, ...(type === 'tar-tarfs' ? ['--blob-id', ID] : []), source]);
  const disk = path.join(directory, 'disk');
  const argv = ['export', '--block', '--verity', '-B', boot, '-D', directory, '-O', disk];
  const { stdout } = await succeed(t, [
    ...argv,
    '--compressor',
    compressor,
    ...more,
    '-l',
    'error',
  ]);
  return { disk, options: stdout.toString() };
};

/** Runs veritysetup with a printed line, read as a shell would. */
const verify = (disk: string, options: string) => {
  const words = options.trim().replace('dm-verity options: ', '').split(' ');
  const root = words.pop()!;
  const argv = words.map(word => (word === '""' ? '-' : word)); // its notation for no salt
  return spawnSync('veritysetup', ['verify', ...argv, disk, disk, root], { encoding: 'utf8' });
};

t.test('accepted: trees of one level and of several', { skip }, async t => {
  const big = tarOf([{ name: 'big', content: Buffer.alloc(9_000_000, 'not all the same ') }]);
  for (const [name, tar] of [
    ['one file', tarOf([{ name: 'a', content: 'a' }])],
    ['no file', tarOf([])],
    ['kinds', layerTar('kinds')],
    ['three levels', big],
  ] as const) {
    for (const type of ['tar-tarfs', 'tar-rafs'] as const) {
      const { disk, options } = await exported(t, tar, type);
      const { status, stderr } = verify(disk, options);
      t.equal(status, 0, `${name}, ${type} ${stderr}`);
    }
  }
});

t.test('a salt, and a superblock that says everything but the root', { skip }, async t => {
  const big = tarOf([{ name: 'big', content: Buffer.alloc(9_000_000, 'not all the same ') }]);
  const salt = ['--verity-salt', '00ff'.repeat(16)];
  const own = ['--verity-superblock', '--uuid'];
  const roots = new Set<string>();
  for (const more of [[], salt, own, [...salt, ...own]]) {
    const { disk, options } = await exported(t, big, 'tar-rafs', 'none', more);
    const { status, stderr } = verify(disk, options);
    t.equal(status, 0, `${more.join(' ')} ${stderr}`);
    roots.add(options.trim().split(' ').at(-1)!);
    if (!more.includes('--verity-superblock')) continue;
    const offset = /--hash-offset ([0-9]+)/.exec(options)![1]!;
    const dump = ['dump', disk, '--hash-offset', offset];
    t.equal(spawnSync('veritysetup', dump).status, 0, 'veritysetup finds the superblock');
  }
  t.equal(roots.size, 4, 'salt and UUID count');
});

const withoutBlkid = spawnSync('blkid', ['--version']).error !== undefined && 'needs blkid';

t.test('the UUID of an image', { skip: withoutBlkid }, async t => {
  const uuidOf = async (content: string, more: readonly string[]): Promise<string> => {
    const { disk } = await exported(t, tarOf([{ name: 'a', content }]), 'tar-rafs', 'none', more);
    const argv = ['-p', '-s', 'UUID', '-o', 'value', disk];
    return spawnSync('blkid', argv, { encoding: 'utf8' }).stdout.trim();
  };
  const uuid = await uuidOf('a', ['--uuid']);
  t.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.equal(await uuidOf('a', ['--uuid']), uuid, 'the same image has the same one');
  t.not(await uuidOf('b', ['--uuid']), uuid, 'another one has another');
  t.not(await uuidOf('a', []), uuid, 'only where it is asked for');
});

t.test('accepted: images that are compressed as EROFS does', { skip }, async t => {
  for (const compressor of ['lz4', 'zstd']) {
    for (const type of ['tar-tarfs', 'tar-rafs'] as const) {
      const { disk, options } = await exported(t, layerTar('kinds'), type, compressor);
      const { status, stderr } = verify(disk, options);
      t.equal(status, 0, `${compressor}, ${type} ${stderr}`);
    }
  }
});

t.test('refused: a bit changed anywhere in data or tree', { skip }, async t => {
  const { disk, options } = await exported(t, layerTar('kinds'), 'tar-tarfs');
  const image = fs.readFileSync(disk);
  const hashOffset = Number(/--hash-offset (\d+)/.exec(options)![1]);
  const dataSize = Number(/--data-blocks (\d+)/.exec(options)![1]) * 512;
  const next = numbers(7);
  const places = [0, dataSize - 1, hashOffset, image.length - 1];
  for (let i = 0; i < 12; i++) places.push(next(dataSize));
  for (let i = 0; i < 12; i++) places.push(hashOffset + next(image.length - hashOffset));
  for (const at of places) {
    const bit = 1 << next(8);
    image[at]! ^= bit;
    fs.writeFileSync(disk, image);
    t.not(verify(disk, options).status, 0, `bit ${bit} of byte ${at}`);
    image[at]! ^= bit;
  }
  fs.writeFileSync(disk, image);
  t.equal(verify(disk, options).status, 0, 'unchanged again');
  t.not(verify(disk, options.replace(/[0-9a-f]{4}\n$/, '0000\n')).status, 0, 'another root');
});
