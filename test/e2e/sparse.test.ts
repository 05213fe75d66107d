/** Sparse files: the same image as with their zeros written out, at no cost for what is not there. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { filesBelow } from '../support/process/left.js';
import { randomBytes } from '../support/random.js';

/** Files with holes before, between and after data, and one that is nothing but a hole. */
const makeFiles = (folder: string): void => {
  fs.mkdirSync(folder);
  const file = (name: string, size: number, data: readonly number[]): void => {
    const fd = fs.openSync(path.join(folder, name), 'w');
    for (const at of data) fs.writeSync(fd, randomBytes(5000, at), 0, 5000, at);
    fs.ftruncateSync(fd, size);
    fs.closeSync(fd);
  };
  file('a-hole', 0x500000, []);
  file('begins', 0x380000, [0, 0x201000]);
  file('ends', 0x300000, [0x280000, 0x300000 - 5000]);
  file('zeros', 0x100000, []);
};

const OPTIONS: readonly (readonly string[])[] = [
  [],
  ['--fs-version', '5'],
  ['--compressor', 'none', '--chunk-size', '0x10000'],
  ['--batch-size', '0x80000'],
];

t.test('an archive of GNU tar gives one image, sparse or not', async t => {
  const directory = temporaryDirectory(t);
  const folder = path.join(directory, 'files');
  makeFiles(folder);
  const times = ['--sort=name', '--mtime=@0'];
  for (const options of OPTIONS) {
    const images: Buffer[][] = [];
    for (const form of [[], ['-S'], ['-S', '--format=pax']]) {
      const tar = path.join(directory, 'layer.tar');
      execFileSync('tar', [...times, ...form, '-cf', tar, '-C', folder, '.']);
      const out = fs.mkdtempSync(path.join(directory, 'out-'));
      const boot = path.join(out, 'boot');
      await succeed(
        t,
        ['create', '-t', 'tar-rafs', '-B', boot, '-D', out, '-l', 'warn', tar].concat(options),
      );
      images.push(filesBelow(out).map(name => fs.readFileSync(path.join(out, name))));
      if (options.length === 0) await succeed(t, ['check', '-l', 'warn', '-B', boot, '-D', out]);
    }
    for (const image of images) {
      t.equal(image.length, images[0]!.length);
      t.ok(
        image.every((file, i) => file.equals(images[0]![i]!)),
        options.join(' '),
      );
    }
  }
});

t.test('ten kilobytes that claim a terabyte take what their chunks take', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  const tar = path.join(directory, 'layer.tar');
  fs.closeSync(fs.openSync(file, 'w'));
  fs.truncateSync(file, 2 ** 40);
  execFileSync('tar', ['-cSf', tar, '-C', directory, 'file']);
  t.equal(fs.statSync(tar).size, 10240);
  const out = path.join(directory, 'out');
  fs.mkdirSync(out);
  const create = (...options: string[]): string[] => [
    ...['create', '-t', 'tar-rafs', '-B', `${out}/boot`, '-D', out, '-l', 'warn'],
    ...[...options, tar],
  ];
  await succeed(t, create());
  // 8 bytes for each of 2^20 chunks, and one chunk stored
  t.ok(fs.statSync(`${out}/boot`).size < 0x820000, 'the bootstrap');
  fs.rmSync(out, { recursive: true });
  fs.mkdirSync(out);
  const ran = await cli(create('--chunk-size', '0x1000'));
  hasFailed(t, ran, '2^28 chunks', 1, /268435456 chunks, over 2097152: with a larger chunk size/);
  t.same(filesBelow(out), []);
});
