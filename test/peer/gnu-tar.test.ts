/** What we unpack, compared with its source by GNU tar. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import t, { type Test } from 'tap';
import { succeed } from '../support/process/cli.js';
import { isRoot, makeFifo, temporaryDirectory } from '../support/process/fs.js';
import { layerPath, madeTar } from '../support/tar/layers.js';
import { randomBytes } from '../support/random.js';

const succeeds = (command: string, ...argv: string[]): boolean =>
  spawnSync(command, argv, { stdio: 'ignore' }).status === 0;

const isGnuTar = (spawnSync('tar', ['--version']).stdout?.toString() ?? '').includes('GNU tar');
const skip = !isGnuTar && 'needs GNU tar';

const readsXattrs = (() => {
  try {
    createRequire(import.meta.url)('@napi-rs/xattr');
    return true;
  } catch {
    return false;
  }
})();

const XATTRS = ['--xattrs', '--xattrs-include=*'];

/** A directory with everything this machine lets us make; says what it does not. */
const everything = (t: Test, at: string): void => {
  const file = (name: string, content: Buffer | string, mode = 0o644): void => {
    fs.mkdirSync(path.dirname(path.join(at, name)), { recursive: true });
    fs.writeFileSync(path.join(at, name), content);
    fs.chmodSync(path.join(at, name), mode);
  };
  for (const size of [0, 1, 511, 512, 4095, 4096, 4097, 0xfffff, 0x100000, 0x100001, 0x280000]) {
    file(`sizes/${size}`, randomBytes(size, size));
  }
  file('zeros', Buffer.alloc(0x30000));
  file('etc/passwd', 'root:x:0:0\n');
  file('etc/shadow', 'secret', 0o400);
  file('bin/tool', '#!/bin/sh\n', 0o755);
  file('bin/set-ids', 'x', 0o6755);
  file(`${'deep/'.repeat(30)}file`, 'far down');
  file('n'.repeat(200), 'long name');
  file('names/a b\tc\nd', 'odd name');
  file('names/ünïcødé', 'text');
  fs.writeFileSync(Buffer.from(`${at}/names/\xff\xfe`, 'latin1'), 'no text');
  fs.mkdirSync(path.join(at, 'empty'));
  fs.mkdirSync(path.join(at, 'sticky'));
  fs.chmodSync(path.join(at, 'sticky'), 0o1777);
  fs.symlinkSync('tool', path.join(at, 'bin/link'));
  fs.symlinkSync('/none/at/all'.repeat(20), path.join(at, 'dangling'));
  fs.linkSync(path.join(at, 'bin/tool'), path.join(at, 'bin/hard'));
  fs.linkSync(path.join(at, 'bin/tool'), path.join(at, 'zz-hard'));
  makeFifo(path.join(at, 'fifo'));
  if (isRoot) {
    fs.mkdirSync(path.join(at, 'dev'));
    execFileSync('mknod', [path.join(at, 'dev/null'), 'c', '1', '3']);
    execFileSync('mknod', [path.join(at, 'dev/sda'), 'b', '8', '0']);
    execFileSync('mknod', [path.join(at, 'dev/big'), 'c', '300', '70000']);
    fs.lchownSync(path.join(at, 'etc/shadow'), 3000000, 4000000);
    fs.lchownSync(path.join(at, 'bin/link'), 1, 2);
  } else t.comment('left out: devices and other owners need root');
  const attributes: [file: string, name: string, value: string][] = [
    ['etc/passwd', 'user.comment', 'hello world'],
    ['etc/passwd', 'user.second', 'two\nlines'],
    ['empty', 'user.dir', 'yes'],
    ['bin/tool', 'security.capability', '0x0100000200200000000000000000000000000000'],
    ['zeros', 'trusted.overlay.opaque', 'y'],
  ];
  for (const [name, key, value] of attributes) {
    if (!succeeds('setfattr', '-n', key, '-v', value, path.join(at, name))) {
      t.comment(`left out: ${key} of ${name} cannot be set here`);
    }
  }
  wholeSeconds(at);
};

/** A tar that we write has whole seconds, and cannot equal other times. */
const wholeSeconds = (at: string): void => {
  execFileSync('find', [at, '-depth', '-exec', 'touch', '-h', '-d', '@1600000000', '{}', '+']);
};

/** What GNU tar says is different; nothing if it sees none. */
const differences = (tar: string, directory: string, xattrs = true): string => {
  const argv = ['--compare', '--numeric-owner', ...(xattrs ? XATTRS : []), '-f', tar];
  const { status, stdout, stderr } = spawnSync('tar', [...argv, '-C', directory]);
  const said = `${stdout.toString()}${stderr.toString()}`;
  const text = said.replace(/^tar: Removing leading .*\n/gm, '');
  return status === 0 ? text : `status ${status}: ${text}`;
};

const countBelow = (directory: string): number =>
  execFileSync('find', [directory, '-mindepth', '1', '-printf', '%i\n']).toString().split('\n')
    .length - 1;

const membersOf = (tar: string): number =>
  execFileSync('tar', ['--quoting-style=escape', '-tf', tar], {
    maxBuffer: 0x10000000,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
    .toString()
    .split('\n').length - 1;

interface RoundTrip {
  source: string;
  type: string;
  argv?: string[];
  /** what it must equal */
  directory: string;
  xattrs?: boolean;
}

/** Builds, unpacks, and lets GNU tar compare. Returns the path of the tar. */
const roundTrip = async (
  t: Test,
  { source, type, argv = [], directory, xattrs = true }: RoundTrip,
): Promise<string> => {
  const work = temporaryDirectory(t);
  const [blob, tar] = [path.join(work, 'blob'), path.join(work, 'tar')];
  const create = ['create', '-l', 'error', '-t', type, '--blob-inline-meta', '-b', blob];
  await succeed(t, [...create, '--features', 'blob-toc', ...argv, source]);
  await succeed(t, ['unpack', '-l', 'warn', blob, '--output', tar]);
  t.equal(differences(tar, directory, xattrs), '', 'GNU tar sees no difference');
  t.equal(membersOf(tar), countBelow(directory), 'nothing is missing');
  return tar;
};

t.test('a directory of all kinds', { skip }, async t => {
  const directory = temporaryDirectory(t);
  everything(t, directory);
  if (!readsXattrs) t.comment('left out: xattrs of files cannot be read without @napi-rs/xattr');
  for (const compressor of ['none', 'lz4_block', 'zstd']) {
    const argv = ['--compressor', compressor];
    const options = { source: directory, type: 'dir-rafs', directory, xattrs: readsXattrs };
    const tar = await roundTrip(t, { ...options, argv });
    if (compressor !== 'zstd') continue;
    // the comparison sees what it should
    fs.appendFileSync(path.join(directory, 'etc/passwd'), 'x');
    fs.chmodSync(path.join(directory, 'bin/tool'), 0o700);
    const seen = differences(tar, directory);
    t.match(seen, /etc\/passwd: .*differ/);
    t.match(seen, /bin\/hard: Mode differs/);
  }
});

for (const format of ['pax', 'gnu'] as const) {
  t.test(`GNU tar's own tar of it, ${format}`, { skip }, async t => {
    const directory = temporaryDirectory(t);
    everything(t, directory);
    const source = path.join(temporaryDirectory(t), 'source');
    const xattrs = format === 'pax';
    const options = [`--format=${format}`, '--numeric-owner', ...(xattrs ? XATTRS : [])];
    execFileSync('tar', [...options, '-cf', source, '-C', directory, '.']);
    const one = { source, type: 'tar-rafs', directory, xattrs };
    await roundTrip(t, one);
    const argv = ['--chunk-size', '0x1000', '--compressor', 'lz4_block'];
    await roundTrip(t, { ...one, argv });
  });
}

t.test('sparse files', { skip }, async t => {
  const directory = temporaryDirectory(t);
  const fd = fs.openSync(path.join(directory, 'sparse'), 'w');
  for (const at of [0x8000, 0x200000, 0x480000]) {
    fs.writeSync(fd, randomBytes(5000, at), 0, 5000, at);
  }
  fs.ftruncateSync(fd, 0x600000);
  fs.closeSync(fd);
  fs.writeFileSync(path.join(directory, 'hole'), '');
  fs.truncateSync(path.join(directory, 'hole'), 0x100000);
  wholeSeconds(directory);
  const source = path.join(temporaryDirectory(t), 'source');
  for (const [format, version] of [['gnu'], ['pax', '0.0'], ['pax', '0.1'], ['pax', '1.0']]) {
    const options = ['--sparse', `--format=${format!}`];
    if (version) options.push(`--sparse-version=${version}`);
    execFileSync('tar', [...options, '-cf', source, '-C', directory, '.']);
    t.ok(fs.statSync(source).size < 0x100000, `${format!} ${version ?? ''}: holes are not stored`);
    await roundTrip(t, { source, type: 'tar-rafs', directory });
  }
});

t.test('a Debian-like tree', { skip }, async t => {
  const work = temporaryDirectory(t);
  const [source, directory] = [path.join(work, 'tar'), path.join(work, 'directory')];
  fs.writeFileSync(source, madeTar('debian', { scale: 0.05 }));
  fs.mkdirSync(directory);
  execFileSync('tar', ['--no-same-owner', '-xpf', source, '-C', directory]);
  await roundTrip(t, { source: directory, type: 'dir-rafs', directory });
  if (isRoot) await roundTrip(t, { source, type: 'tar-rafs', directory });
  else t.comment('left out: the tar itself, whose owner is root');
});

t.test('layers', { skip: skip || (!isRoot && 'needs root, to extract owners') }, async t => {
  for (const layer of ['sample', 'sizes', 'names', 'layer-0']) {
    const directory = temporaryDirectory(t);
    const source = layerPath(`${layer}.tar.gz`);
    execFileSync('tar', [...XATTRS, '--numeric-owner', '-xpf', source, '-C', directory]);
    await roundTrip(t, { source, type: 'targz-rafs', directory });
  }
});
