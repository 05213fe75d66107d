/**
 * Installs the packages that package-lock.json names, unless they are there.
 *
 * After an install, the lock's digest is left in node_modules, so that a package that cannot be
 * installed here (an optional one that does not compile, say) is tried once and not on every run.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isMain, npm, root } from './project.mjs';

const LOCK = path.join(root, 'package-lock.json');
const STAMP = path.join(root, 'node_modules/.installed-lock');

const read = file => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
};

const lockDigest = () => createHash('sha256').update(readFileSync(LOCK)).digest('hex');

/** Whether a package's list of platforms, as npm keeps it, includes this one. */
const fits = (list, value) => {
  if (!list || list.includes('any')) return true;
  if (list.includes(`!${value}`)) return false;
  return list.includes(value) || list.every(item => item.startsWith('!'));
};

const libc = () => (process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl');

const foreign = entry =>
  !fits(entry.os, process.platform) ||
  !fits(entry.cpu, process.arch) ||
  (entry.libc !== undefined && !fits(entry.libc, libc()));

/** Whether what npm says it has installed is what the lock names. */
const matches = () => {
  const have = read(path.join(root, 'node_modules/.package-lock.json'));
  if (have === undefined) return false;
  const wanted = JSON.parse(readFileSync(LOCK, 'utf8')).packages;
  const { packages } = JSON.parse(have);
  return Object.entries(wanted).every(([name, entry]) => {
    if (name === '') return true;
    const there = packages[name];
    return there ? there.version === entry.version : entry.optional === true && foreign(entry);
  });
};

/** Returns the exit status: 0 if everything is installed. */
export const install = () => {
  if (read(STAMP) === lockDigest()) return 0;
  if (!matches()) {
    process.stdout.write('Installing packages (npm ci); a native one may take a minute.\n');
    const status = npm(['ci', '--no-audit', '--no-fund']);
    if (status !== 0) return status;
  }
  writeFileSync(STAMP, lockDigest());
  return 0;
};

if (isMain(import.meta.url)) process.exitCode = install();
