/** containerd with the nydus snapshotter, in a directory of its own, until the test ends. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRoot } from '../process/fs.js';

interface Teardown {
  teardown(work: () => unknown): void;
}

const PROGRAMS = ['containerd', 'runc', 'containerd-nydus-grpc', 'nydusd', 'nydus-image'];

/** Why no container can be started here; false if one can. */
export const withoutContainerd = (): string | false => {
  const missing = PROGRAMS.find(program => spawnSync(program, ['--version']).error);
  if (missing !== undefined) return `needs ${missing}`;
  if (!isRoot) return 'needs root, to mount';
  return !fs.existsSync('/dev/fuse') && 'needs /dev/fuse';
};

const pathOf = (program: string): string =>
  process.env
    .PATH!.split(':')
    .map(directory => path.join(directory, program))
    .find(file => fs.existsSync(file))!; // its version was asked before

/** Starts both; the address of containerd. */
export const startContainerd = async (t: Teardown, directory: string): Promise<string> => {
  const at = (name: string): string => path.join(directory, name);
  const write = (name: string, lines: readonly string[], mode = 0o600): void =>
    fs.writeFileSync(at(name), `${lines.join('\n')}\n`, { mode });
  const [address, snapshots] = [at('containerd.sock'), at('nydus.sock')];
  write('containerd.toml', [
    'version = 2',
    `root = "${at('root')}"`,
    `state = "${at('state')}"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    '[grpc]',
    `address = "${address}"`,
    '[proxy_plugins.nydus]',
    'type = "snapshot"',
    `address = "${snapshots}"`,
  ]);
  const backend = { type: 'registry', config: { scheme: 'http', skip_verify: true, timeout: 5 } };
  const cache = { type: 'blobcache', config: { work_dir: at('cache') } };
  const nydusd = { device: { backend, cache }, mode: 'direct', enable_xattr: true };
  write('nydusd.json', [JSON.stringify(nydusd)]);
  write('snapshotter.toml', [
    'version = 1',
    `root = "${at('nydus')}"`,
    `address = "${snapshots}"`,
    'daemon_mode = "dedicated"',
    '[system]',
    'enable = false',
    '[daemon]',
    `nydusd_path = "${at('nydusd')}"`,
    `nydusimage_path = "${pathOf('nydus-image')}"`,
    `nydusd_config = "${at('nydusd.json')}"`,
    'fs_driver = "fusedev"',
    'recover_policy = "none"',
  ]);
  // it would raise its limit of open files, which not every root may
  write('nydusd', ['#!/bin/sh', `exec ${pathOf('nydusd')} "$@" --rlimit-nofile 10000`], 0o755);

  const started: ChildProcess[] = [];
  t.teardown(() => stop(started, directory));
  const start = async (program: string, argv: readonly string[], socket: string): Promise<void> => {
    const log = fs.openSync(at(`${program}.log`), 'w');
    started.unshift(spawn(program, argv, { stdio: ['ignore', log, log] }));
    fs.closeSync(log);
    for (let tries = 0; !fs.existsSync(socket); tries++) {
      if (tries === 300) throw new Error(`${program} does not start`);
      await sleep(100);
    }
  };
  await start('containerd-nydus-grpc', ['--config', at('snapshotter.toml')], snapshots);
  await start('containerd', ['-c', at('containerd.toml')], address);
  return address;
};

/** Ends what was started, and the daemons that these have started, and unmounts what is left. */
const stop = async (started: readonly ChildProcess[], directory: string): Promise<void> => {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  const mounts = fs.readFileSync('/proc/mounts', 'utf8').split('\n');
  const below = mounts.map(line => line.split(' ')[1] ?? '').filter(at => at.startsWith(directory));
  for (const mount of below.reverse()) spawnSync('umount', ['-l', mount]);
  for (const pid of fs.readdirSync('/proc').filter(name => /^[0-9]+$/.test(name))) {
    const file = `/proc/${pid}/cmdline`;
    const command = fs.existsSync(file) ? readOrNothing(file) : '';
    if (command.startsWith(pathOf('nydusd')) && command.includes(directory)) {
      process.kill(Number(pid), 'SIGKILL');
    }
  }
};

/** A process may end at any time. */
const readOrNothing = (file: string): string => {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};
