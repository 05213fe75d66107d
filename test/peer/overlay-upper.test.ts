/** Upper directories of the kernel's overlayfs as layers: the mount is what the image must be. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { isRoot, temporaryDirectory, withoutXattrs } from '../support/process/fs.js';

/** Why overlayfs cannot be mounted here; false if it can. */
const withoutOverlay = (): string | false => {
  if (!isRoot) return 'needs root';
  const directory = fs.mkdtempSync('/tmp/rafs-test-');
  try {
    for (const name of ['l', 'u', 'w', 'm']) fs.mkdirSync(path.join(directory, name));
    mount(directory, []);
    execFileSync('umount', [path.join(directory, 'm')]);
    return false;
  } catch {
    return 'needs overlayfs';
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
};

const mount = (directory: string, options: readonly string[]): void => {
  const layers = ['lowerdir=l', 'upperdir=u', 'workdir=w', ...options].join(',');
  const argv = ['-t', 'overlay', 'overlay', '-o', layers, 'm'];
  execFileSync('mount', argv, { cwd: directory, stdio: 'pipe' });
};

const skip = withoutXattrs() || withoutOverlay();

/** Runs a line of shell in a mount over a few files. */
const changed = (t: Test, line: string, options: readonly string[]) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  for (const name of ['l', 'u', 'w', 'm', 'l/d', 'l/e', 'l/e/sub', 'blobs']) fs.mkdirSync(at(name));
  for (const name of ['d/a', 'd/b', 'e/c', 'f', 'g']) fs.writeFileSync(at(`l/${name}`), name);
  mount(directory, options);
  try {
    execFileSync('sh', ['-ec', line], { cwd: at('m') });
    execFileSync('tar', ['-C', at('m'), '-cf', at('due.tar'), '.']);
  } finally {
    execFileSync('umount', [at('m')]);
  }
  return { directory, at };
};

const linesOf = (tar: string): string[] =>
  execFileSync('tar', ['--numeric-owner', '-tvf', tar], { encoding: 'utf8' })
    .split('\n')
    .map(line => line.replace(/ \.\//, ' ').replace(/\/$/, ''))
    .filter(line => !line.endsWith(' ') && line !== '')
    .sort();

const LOWER = ['create', '-l', 'warn', '-t', 'dir-rafs'];
const UPPER = [...LOWER, '--whiteout-spec', 'overlayfs'];

const CHANGES =
  'rm g d/a; rm -r e; mkdir e; echo new >e/n; chmod 600 f; mkdir x; echo y >x/y; mv d/b d/z';

for (const [kind, options] of [
  ['by root', ['metacopy=off', 'redirect_dir=off']],
  ['of others', ['userxattr']],
] as const) {
  t.test(`an upper directory ${kind} over its lower one`, { skip }, async t => {
    const { at } = changed(t, CHANGES, options);
    for (const fsVersion of ['5', '6']) {
      const to = ['-v', fsVersion, '-D', at('blobs')];
      await succeed(t, [...LOWER, ...to, '-B', at('lower'), at('l')]);
      const parent = ['--parent-bootstrap', at('lower')];
      await succeed(t, [...UPPER, ...to, ...parent, '-B', at('boot'), at('u')]);
      const unpack = ['unpack', '-l', 'warn', '-D', at('blobs'), '--output', at('tar'), at('boot')];
      await succeed(t, unpack);
      t.same(linesOf(at('tar')), linesOf(at('due.tar')), `v${fsVersion}: the mount`);
      t.notMatch(fs.readFileSync(at('tar'), 'latin1'), /overlay\./, 'no notes of the mount');
    }
    // without a parent there is nothing to delete
    await succeed(t, [...UPPER, '-D', at('blobs'), '-B', at('alone'), at('u')]);
    const unpack = ['unpack', '-l', 'warn', '-D', at('blobs'), '--output', at('tar'), at('alone')];
    await succeed(t, unpack);
    t.notMatch(fs.readFileSync(at('tar'), 'latin1'), /overlay\./, 'alone: no notes of the mount');
    const names = linesOf(at('tar')).map(line => line.replace(/.* /, ''));
    t.same(names.sort(), ['d', 'd/z', 'e', 'e/n', 'f', 'x', 'x/y']);
  });
}

t.test('what only the layers below say is refused', { skip }, async t => {
  for (const [line, text] of [
    ['chmod 600 f', /'?.*metacopy=off.*path \/?.*f/],
    ['mv d d2', /redirect_dir=off/],
  ] as const) {
    const { at } = changed(t, line, ['metacopy=on', 'redirect_dir=on']);
    for (const spec of ['overlayfs', 'oci', 'none']) {
      const argv = [
        ...LOWER,
        '--whiteout-spec',
        spec,
        '-D',
        at('blobs'),
        '-B',
        at('boot'),
        at('u'),
      ];
      const ran = await cli(argv);
      hasFailed(t, ran, `${line}, ${spec}`, 1, text);
      t.notOk(fs.existsSync(at('boot')));
    }
  }
});

t.test('whiteouts that are marked files, in directories that say so', { skip }, async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  for (const name of ['l', 'u', 'u/d', 'u/e', 'l/d', 'l/e', 'blobs']) fs.mkdirSync(at(name));
  for (const name of ['l/d/gone', 'l/e/kept', 'u/d/gone', 'u/e/kept'])
    fs.writeFileSync(at(name), '');
  const set = (file: string, name: string, value: string): Buffer =>
    execFileSync('setfattr', ['-n', `trusted.overlay.${name}`, '-v', value, at(file)]);
  set('u/d', 'opaque', 'x');
  for (const file of ['u/d/gone', 'u/e/kept']) set(file, 'whiteout', 'y');
  const to = ['-D', at('blobs')];
  await succeed(t, [...LOWER, ...to, '-B', at('lower'), at('l')]);
  await succeed(t, [...UPPER, ...to, '--parent-bootstrap', at('lower'), '-B', at('boot'), at('u')]);
  const unpack = ['unpack', '-l', 'warn', '-D', at('blobs'), '--output', at('tar'), at('boot')];
  await succeed(t, unpack);
  const names = linesOf(at('tar')).map(line => line.replace(/.* /, ''));
  t.same(names.sort(), ['d', 'e', 'e/kept']);
});
