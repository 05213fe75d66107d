/** Files, FIFOs and small file systems for tests, and who still has them open. */
import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';

/** What a test needs of tap to clean up behind itself. */
interface Teardown {
  teardown(work: () => unknown): void;
}

export const isRoot = process.getuid?.() === 0;

/** A new directory, removed after the test. */
export const temporaryDirectory = (t: Teardown): string => {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'rafs-test-'));
  t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
};

export const makeFifo = (...paths: string[]): void => {
  execFileSync('mkfifo', paths);
};

/** Runs a line of shell without waiting; `$1` and so on are `args`. Resolves to its output. */
export const shell = async (line: string, ...args: string[]): Promise<Buffer> => {
  const { stdout } = await promisify(execFile)('sh', ['-c', line, 'sh', ...args], {
    encoding: 'buffer',
    maxBuffer: 0x8000000,
  });
  return stdout;
};

/** How often this process has something below `directory` open. */
export const openBelow = (directory: string): string[] =>
  fs.readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(directory) ? [target] : [];
    } catch {
      return []; // the descriptor that lists them
    }
  });

/** A file system of `size` bytes below `directory`, unmounted after the test. Needs root. */
export const mountTmpfs = (t: Teardown, directory: string, size: number): string => {
  const point = path.join(directory, 'small');
  fs.mkdirSync(point);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', point]);
  t.teardown(() => execFileSync('umount', [point]));
  return point;
};

/** Why tmpfs cannot be mounted here; false if it can. */
export const withoutMount = (): string | false => {
  if (!isRoot) return 'needs root';
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'rafs-test-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', directory], { stdio: 'ignore' });
    execFileSync('umount', [directory]);
    return false;
  } catch {
    return 'needs mount';
  } finally {
    fs.rmdirSync(directory);
  }
};

/** Why extended attributes cannot be set and read here; false if they can. */
export const withoutXattrs = (): string | false => {
  if (!isRoot) return 'needs root';
  try {
    createRequire(import.meta.url).resolve('@napi-rs/xattr');
  } catch {
    return 'needs @napi-rs/xattr';
  }
  try {
    execFileSync('setfattr', ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'needs setfattr';
  }
};

/** Waits until a stream has given back what it holds: pipeline() may fail before that. */
export const closed = async (stream: Readable | Writable): Promise<void> => {
  if (!stream.closed) await new Promise(resolve => stream.once('close', resolve));
};
