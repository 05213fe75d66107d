/**
 * Stacks of layers: what we make of them is the tree that GNU tar gives when it extracts one layer
 * after another, after the whiteouts of each have deleted what they name.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { succeed } from '../support/process/cli.js';
import { factsBelow, mountErofs, withoutErofs } from '../support/peers/erofs-tools.js';
import { isRoot, temporaryDirectory } from '../support/process/fs.js';
import { numbers } from '../support/random.js';
import { tarOf } from '../support/tar/tar.js';
import { applyLayer, AS_IT_IS, layerOf, randomSteps } from '../support/tar/tar-stacks.js';

const isGnuTar = (spawnSync('tar', ['--version']).stdout?.toString() ?? '').includes('GNU tar');
const skip = !isGnuTar && 'needs GNU tar';

const sameTree = (t: Test, got: string, due: string, what: string): void => {
  const [found, wanted] = [factsBelow(got), factsBelow(due)];
  t.same([...found.keys()].sort(), [...wanted.keys()].sort(), `${what}: names`);
  for (const [name, fact] of wanted) t.same(found.get(name), fact, `${what}: ${name}`);
};

/** Unpacks an image and extracts what comes out. */
const extracted = async (t: Test, boot: string, blobDir: string): Promise<string> => {
  const work = temporaryDirectory(t);
  const tar = path.join(work, 'tar');
  await succeed(t, ['unpack', '-l', 'warn', boot, '--blob-dir', blobDir, '--output', tar]);
  fs.mkdirSync(path.join(work, 'tree'));
  // it says that it takes a slash from the targets of hardlinks
  execFileSync('tar', ['-xpf', tar, ...AS_IT_IS, '-C', path.join(work, 'tree')], {
    stdio: 'ignore',
  });
  return path.join(work, 'tree');
};

/** The root is not in a tar that is unpacked. */
const withoutRoot = (due: string, got: string): void => {
  const { uid, gid, mtime, mode } = fs.statSync(due);
  fs.chmodSync(got, mode & 0o7777);
  if (isRoot) fs.chownSync(got, uid, gid);
  fs.utimesSync(got, mtime, mtime);
};

for (let seed = 1; seed <= 8; seed++) {
  t.test(`stack ${seed}`, { skip }, async t => {
    const next = numbers(seed);
    const work = temporaryDirectory(t);
    const at = (name: string): string => path.join(work, name);
    const due = at('due');
    fs.mkdirSync(due);
    fs.mkdirSync(at('blobs'));
    fs.mkdirSync(at('tars'));
    const count = 2 + next(3);
    const boots: string[] = [];
    const tarfs: string[] = [];
    let chained: string | undefined;
    for (let n = 0; n < count; n++) {
      const entries = layerOf(randomSteps(next), n > 0);
      const id = String(n).repeat(64);
      const tar = at(`tars/${id}`);
      fs.writeFileSync(tar, tarOf(entries));
      await applyLayer(due, entries, n === 0);

      const create = ['create', '-l', 'warn', '-t', 'tar-rafs', '-D', at('blobs')];
      const boot = at(`boot-${n}`);
      await succeed(t, [...create, '-B', boot, '--blob-id', id, tar]);
      boots.push(boot);
      const parent: string[] = chained ? ['--parent-bootstrap', chained] : [];
      chained = at(`chained-${n}`);
      await succeed(t, [...create, '-B', chained, ...parent, tar]);
      if (withoutErofs()) continue;
      const map = ['create', '-l', 'warn', '-t', 'tar-tarfs', '-D', at('blobs'), '--blob-id', id];
      await succeed(t, [...map, '-B', at(`tarfs-${n}`), tar]);
      tarfs.push(at(`tarfs-${n}`));
    }
    const ids = boots.map((_, n) => String(n).repeat(64)).join();
    const merge = ['merge', '-l', 'warn'];
    await succeed(t, [...merge, '-B', at('merged'), '--original-blob-ids', ids, ...boots]);
    for (const [what, boot] of [
      ['merged', at('merged')],
      ['built on one another', chained!],
    ] as const) {
      const got = await extracted(t, boot, at('blobs'));
      withoutRoot(due, got);
      sameTree(t, got, due, what);
    }
    if (withoutErofs()) {
      t.comment(`left out: a mount of merged tars ${String(withoutErofs())}`);
      return;
    }
    await succeed(t, [...merge, '-B', at('tarfs'), '-J', at('out.json'), ...tarfs]);
    // clients attach the tars that the image lists in the order of the layers
    const { blobs } = JSON.parse(fs.readFileSync(at('out.json'), 'utf8')) as { blobs: string[] };
    t.same(blobs, [...blobs].sort(), 'blobs in the order of the layers');
    for (const id of blobs) padToBlocks(at(`tars/${id}`));
    mountErofs(
      t,
      at('mnt'),
      at('tarfs'),
      blobs.map(id => at(`tars/${id}`)),
    );
    sameTree(t, at('mnt'), due, 'mounted');
  });
}

/** Loop devices are made of whole blocks. */
const padToBlocks = (file: string): void => {
  fs.truncateSync(file, Math.ceil(fs.statSync(file).size / 4096) * 4096);
};

const runs = (command: string, ...argv: string[]): boolean =>
  spawnSync(command, argv, { stdio: 'ignore' }).status === 0;

t.test('a directory over an image, by the rules of overlayfs', { skip }, async t => {
  const work = temporaryDirectory(t);
  const at = (name: string): string => path.join(work, name);
  for (const name of [
    'lower',
    'lower/hidden',
    'lower/both',
    'upper',
    'upper/hidden',
    'upper/both',
  ]) {
    fs.mkdirSync(at(name));
  }
  for (const [name, text] of [
    ['lower/gone', 'x'],
    ['lower/stays', 'stays'],
    ['lower/hidden/old', 'x'],
    ['lower/both/lower', 'lower'],
    ['upper/hidden/new', 'new'],
    ['upper/both/upper', 'upper'],
    ['upper/.wh.stays', ''],
  ] as const) {
    fs.writeFileSync(at(name), text);
  }
  if (!runs('mknod', at('upper/gone'), 'c', '0', '0')) {
    t.comment('left out: devices cannot be made here');
    fs.rmSync(at('lower/gone'));
  }
  const opaque = runs('setfattr', '-n', 'trusted.overlay.opaque', '-v', 'y', at('upper/hidden'));
  if (!opaque) t.comment('left out: trusted xattrs cannot be set here');
  fs.mkdirSync(at('blobs'));
  const create = ['create', '-l', 'warn', '-t', 'dir-rafs', '-D', at('blobs')];
  await succeed(t, [...create, '-B', at('boot'), at('lower')]);
  const over = ['--parent-bootstrap', at('boot'), '--whiteout-spec', 'overlayfs'];
  await succeed(t, [...create, '-B', at('image'), ...over, at('upper')]);
  const got = await extracted(t, at('image'), at('blobs'));
  const files = execFileSync('find', [got, '-type', 'f', '-printf', '%P\n']).toString();
  t.same(
    files.trim().split('\n').sort(),
    [
      '.wh.stays',
      'both/lower',
      'both/upper',
      ...(opaque ? [] : ['hidden/old']),
      'hidden/new',
      'stays',
    ].sort(),
  );
  t.equal(fs.readFileSync(path.join(got, 'both/lower'), 'utf8'), 'lower');
  t.equal(fs.readFileSync(path.join(got, 'both/upper'), 'utf8'), 'upper');
});
