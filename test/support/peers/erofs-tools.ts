/** What this machine has to read images with, besides us: the kernel, veritysetup, erofs-utils. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { isRoot } from '../process/fs.js';

interface Teardown {
  teardown(work: () => unknown): void;
}

const has = (program: string, ...argv: string[]): boolean =>
  spawnSync(program, argv, { stdio: 'ignore' }).error === undefined;

/** Why the kernel cannot mount EROFS from loop devices here; false if it can. */
export const withoutErofs = (): string | false => {
  if (!isRoot) return 'needs root';
  spawnSync('modprobe', ['erofs'], { stdio: 'ignore' });
  if (!/\berofs$/m.test(fs.readFileSync('/proc/filesystems', 'latin1'))) return 'no EROFS here';
  if (!fs.existsSync('/dev/loop-control') || !has('losetup', '-V')) return 'no loop devices here';
  return false;
};

/** Why the kernel cannot read what EROFS compresses with an algorithm; false if it can. */
export const withoutErofsCompressor = (name: 'lz4' | 'zstd'): string | false => {
  const skip = withoutErofs();
  if (skip) return skip;
  const config = kernelConfig();
  if (config === undefined) return `this kernel does not say whether it reads EROFS with ${name}`;
  // lz4 comes with compression itself
  const option = name === 'lz4' ? 'CONFIG_EROFS_FS_ZIP' : 'CONFIG_EROFS_FS_ZIP_ZSTD';
  return !new RegExp(`^${option}=[ym]$`, 'm').test(config) && `this kernel has no ${option}`;
};

const kernelConfig = (): string | undefined => {
  try {
    if (fs.existsSync('/proc/config.gz')) {
      return gunzipSync(fs.readFileSync('/proc/config.gz')).toString('latin1');
    }
    return fs.readFileSync(`/boot/config-${os.release()}`, 'latin1');
  } catch {
    return undefined;
  }
};

export const withoutVerity = (): string | false =>
  !has('veritysetup', '--version') && 'needs veritysetup';

export const withoutFsck = (): string | false => !has('fsck.erofs', '-V') && 'needs fsck.erofs';

export const withoutXattrTools = (): string | false =>
  !(has('getfattr', '--version') && has('setfattr', '--version')) && 'needs getfattr and setfattr';

/** A loop device with a file in it, taken down after the test. */
const loopDevice = (t: Teardown, file: string): string => {
  const device = execFileSync('losetup', ['-r', '-f', '--show', file], { encoding: 'utf8' }).trim();
  t.teardown(() => execFileSync('losetup', ['-d', device]));
  return device;
};

/**
 * Mounts an image; `devices` are files behind its device slots, where the image does not hold the
 * data itself. Unmounted after the test.
 */
export const mountErofs = (
  t: Teardown,
  point: string,
  file: string,
  devices: readonly string[] = [],
): void => {
  fs.mkdirSync(point);
  const options = devices.map(device => `device=${loopDevice(t, device)}`);
  const device = loopDevice(t, file);
  execFileSync('mount', ['-t', 'erofs', '-o', ['ro', ...options].join(','), device, point]);
  t.teardown(() => execFileSync('umount', [point]));
};

export interface Fact {
  type: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  rdev: number;
  nlink: number;
  target: string | undefined;
  content: Buffer | undefined;
  xattrs: string;
}

/** Everything that a file system says of the names below a directory. */
export const factsBelow = (root: string): Map<string, Fact> => {
  const facts = new Map<string, Fact>();
  const xattrs = xattrsBelow(root);
  const visit = (name: string): void => {
    const file = path.join(root, name);
    const stat = fs.lstatSync(file);
    const device = stat.isCharacterDevice() || stat.isBlockDevice();
    facts.set(name, {
      type: stat.mode & 0o170000,
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      mtime: Math.floor(stat.mtimeMs / 1000),
      rdev: device ? stat.rdev : 0,
      nlink: stat.isFile() ? stat.nlink : 0,
      target: stat.isSymbolicLink() ? fs.readlinkSync(file) : undefined,
      content: stat.isFile() ? fs.readFileSync(file) : undefined,
      xattrs: stat.isSymbolicLink() ? '' : (xattrs.get(file) ?? ''),
    });
    if (!stat.isDirectory()) return;
    for (const child of fs.readdirSync(file)) visit(path.join(name, child));
  };
  visit('.');
  return facts;
};

/** By path, as lines; of all that have any. One call for all: each takes a process. */
const xattrsBelow = (root: string): Map<string, string> => {
  const found = new Map<string, string>();
  const { stdout, error } = spawnSync(
    'getfattr',
    ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', '--', root],
    { encoding: 'latin1', maxBuffer: 2 ** 28 },
  );
  if (error) return found;
  for (const block of stdout.split('\n\n')) {
    const [head, ...lines] = block.trim().split('\n');
    const name = /^# file: (.*)$/.exec(head!)?.[1];
    if (name === undefined) continue;
    const bytes = name.replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(parseInt(digits, 8)),
    );
    found.set(Buffer.from(bytes, 'latin1').toString(), lines.sort().join('\n'));
  }
  return found;
};
