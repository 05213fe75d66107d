/** The kernel and erofs-utils read compressed exports: every file is that of the source. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { succeed } from '../support/process/cli.js';
import {
  factsBelow,
  mountErofs,
  withoutErofsCompressor,
  withoutFsck,
  withoutXattrTools,
} from '../support/peers/erofs-tools.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { layerTar } from '../support/tar/layers.js';
import { packingFiles, packingTar } from '../support/tar/packing-tar.js';
import { numbers, randomBytes, wordyBytes } from '../support/random.js';

/** The image of a tar, exported as it is and compressed. */
const exported = async (t: Test, tar: Buffer, packing: string, more: readonly string[] = []) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  fs.writeFileSync(at('tar'), tar);
  const image = ['-B', at('boot'), '-D', directory];
  await succeed(t, ['create', '-t', 'tar-rafs', ...image, '-l', 'error', at('tar')]);
  const argv = ['export', '--block', ...image, '-l', 'error'];
  await succeed(t, [...argv, '-O', at('plain')]);
  const { stdout } = await succeed(t, [
    ...[...argv, '-O', at('packed')],
    ...['--compressor', packing, ...more],
  ]);
  return { at, stdout: stdout.toString() };
};

const same = (t: Test, left: string, right: string): void => {
  const due = factsBelow(left);
  const got = factsBelow(right);
  t.same([...got.keys()].sort(), [...due.keys()].sort(), 'names');
  for (const [name, fact] of due) t.same(got.get(name), fact, name);
};

/** Files, links, devices, with owners, modes, times and xattrs; says how many names there are. */
const makeTree = (root: string): number => {
  const at = (name: string): string => path.join(root, name);
  fs.mkdirSync(at('dir/deep'), { recursive: true });
  fs.mkdirSync(at('empty'));
  fs.writeFileSync(at('none'), '');
  fs.writeFileSync(at('small'), 'a few bytes');
  fs.writeFileSync(at('dir/words'), wordyBytes(500_000, 1));
  fs.writeFileSync(at('dir/random'), randomBytes(300_001, 2));
  fs.writeFileSync(at('dir/deep/na\u00efve'), wordyBytes(5000, 3));
  fs.linkSync(at('dir/words'), at('dir/deep/same'));
  fs.symlinkSync('../dir/words', at('empty/link'));
  fs.symlinkSync('x'.repeat(4000), at('long-link'));
  execFileSync('mknod', [at('null'), 'c', '1', '3']);
  execFileSync('mkfifo', [at('fifo')]);
  spawnSync('setfattr', ['-n', 'user.note', '-v', 'v'.repeat(1000), at('dir/words')]);
  fs.chmodSync(at('dir'), 0o1777);
  for (const [i, name] of ['none', 'small', 'dir/words', 'dir', 'fifo'].entries()) {
    fs.lchownSync(at(name), 1000 + i, 70_000 + i);
    fs.utimesSync(at(name), 1000, 1_500_000_000 + i);
  }
  // both are lost with the owner
  fs.chmodSync(at('small'), 0o6751);
  spawnSync('setfattr', ['-n', 'security.capability', '-v', `0x${CAPABILITY}`, at('small')]);
  fs.utimesSync(root, 0, 0); // all that a root has in an image
  return factsBelow(root).size;
};
const CAPABILITY = '0100000200040000000000000000000000000000';

for (const packing of ['lz4', 'zstd'] as const) {
  const skip = withoutErofsCompressor(packing);

  for (const name of ['kinds', 'loose', 'sizes', 'sample', 'layer-0', 'xattrs']) {
    t.test(`${name}, ${packing}: mounted, the same as the plain export`, { skip }, async t => {
      const { at } = await exported(t, layerTar(name), packing);
      mountErofs(t, at('a'), at('plain'));
      mountErofs(t, at('b'), at('packed'));
      same(t, at('a'), at('b'));
    });
  }

  t.test(`files at every border, ${packing}: also read here and there`, { skip }, async t => {
    const files = packingFiles();
    const { at } = await exported(t, packingTar(files), packing, ['--verity']);
    mountErofs(t, at('mnt'), at('packed'));
    const next = numbers(9);
    for (const [name, content] of files) {
      const file = fs.openSync(at(`mnt/${name}`), 'r');
      // before it is read as a whole, and so in memory
      for (let i = 0; i < 5; i++) {
        const from = next(content.length + 1);
        const got = Buffer.alloc(1 + next(9000));
        const size = fs.readSync(file, got, 0, got.length, from);
        t.ok(got.subarray(0, size).equals(content.subarray(from, from + got.length)), name);
      }
      fs.closeSync(file);
      t.ok(fs.readFileSync(at(`mnt/${name}`)).equals(content), name);
    }
  });
}

for (const packing of ['lz4', 'zstd'] as const) {
  t.test(
    `a directory of every kind, ${packing}: mounted, what it was`,
    { skip: withoutErofsCompressor(packing) || withoutXattrTools() },
    async t => {
      const directory = temporaryDirectory(t);
      const at = (name: string): string => path.join(directory, name);
      const due = makeTree(at('tree'));
      const image = ['-B', at('boot'), '-D', directory, '-l', 'error'];
      await succeed(t, ['create', '-t', 'dir-rafs', ...image, at('tree')]);
      const argv = ['export', '--block', ...image, '--compressor', packing];
      await succeed(t, [...argv, '-O', at('packed')]);
      mountErofs(t, at('mnt'), at('packed'));
      same(t, at('tree'), at('mnt'));
      const facts = factsBelow(at('mnt'));
      t.equal(facts.size, due);
      t.equal(facts.get('small')!.xattrs, `security.capability=0x${CAPABILITY}`);
      t.match(facts.get('dir/words')!.xattrs, /^user\.note=0x(76){1000}$/);
    },
  );
}

t.test('fsck.erofs extracts what is packed with lz4', { skip: withoutFsck() }, async t => {
  const files = packingFiles();
  const { at } = await exported(t, packingTar(files), 'lz4');
  const argv = [`--extract=${at('extracted')}`, at('packed')];
  const { status, stderr } = spawnSync('fsck.erofs', argv, { encoding: 'utf8' });
  t.equal(status, 0, stderr);
  for (const [name, content] of files) {
    t.ok(fs.readFileSync(at(`extracted/${name}`)).equals(content), name);
  }
});

t.test(
  'layers that are referred to where they lie can be packed too',
  { skip: withoutErofsCompressor('zstd') },
  async t => {
    const directory = temporaryDirectory(t);
    const at = (name: string): string => path.join(directory, name);
    fs.writeFileSync(at('tar'), layerTar('kinds'));
    execFileSync('gzip', ['-k', at('tar')]);
    const mounted: string[] = [];
    for (const [type, source] of [
      ['tar-rafs', 'tar'],
      ['targz-ref', 'tar.gz'],
      ['tar-tarfs', 'tar'],
    ] as const) {
      const blobs = at(type);
      fs.mkdirSync(blobs);
      const id = '9'.repeat(64);
      const create = ['create', '-t', type, '-B', at(`${type}.boot`), '-D', blobs];
      const named = type === 'targz-ref' ? [] : ['--blob-id', id];
      await succeed(t, [...create, ...named, '-l', 'error', at(source)]);
      if (type === 'tar-tarfs') fs.copyFileSync(at(source), path.join(blobs, id));
      if (type === 'targz-ref') {
        const digest = execFileSync('sha256sum', [at(source)], { encoding: 'latin1' }).slice(0, 64);
        fs.copyFileSync(at(source), path.join(blobs, digest));
      }
      const argv = ['export', '--block', '-B', at(`${type}.boot`), '-D', blobs, '-l', 'error'];
      await succeed(t, [...argv, '--compressor', 'zstd', '-O', at(`${type}.disk`)]);
      mountErofs(t, at(`${type}.mnt`), at(`${type}.disk`));
      mounted.push(at(`${type}.mnt`));
    }
    same(t, mounted[0]!, mounted[1]!);
    same(t, mounted[0]!, mounted[2]!);
  },
);
