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
) => {
  const directory = temporaryDirectory(t);
  const source = path.join(directory, ID);
  fs.writeFileSync(source, tar);
  const boot = path.join(directory, 'boot');
  const create = ['create', '-t', type, '-B', boot, '-D', directory, '-l', 'error'];
  await succeed(t, [...create, ...(type === 'tar-tarfs' ? ['--blob-id', ID] : []), source]);
  const disk = path.join(directory, 'disk');
  const argv = ['export', '--block', '--verity', '-B', boot, '-D', directory, '-O', disk];
  const { stdout } = await succeed(t, [...argv, '--compressor', compressor, '-l', 'error']);
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
