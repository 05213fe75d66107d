/** What the scripts share: where things are, and how to run programs. Needs no packages. */
import { spawnSync } from 'node:child_process';
import { readdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = realpathSync(fileURLToPath(new URL('..', import.meta.url)));

/** Runs a program with our stdio; returns its status, 1 if it could not start or was killed. */
export const run = (command, args, options = {}) => {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) process.stderr.write(`${command}: ${error.message}\n`);
  return status ?? 1;
};

/** Runs npm: the one that runs this script, if one does. */
export const npm = (args, options) => {
  const { npm_execpath: cli } = process.env;
  return cli?.endsWith('.js')
    ? run(process.execPath, [cli, ...args], options)
    : run('npm', args, options);
};

/** Paths of all files below a directory, relative to the root; none if it is not there. */
export const filesBelow = directory => {
  let entries;
  try {
    entries = readdirSync(path.join(root, directory), { withFileTypes: true, recursive: true });
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  return entries
    .filter(entry => entry.isFile())
    .map(entry => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
};

/** Whether the module of this URL is the script that was started. */
export const isMain = url => realpathSync(fileURLToPath(url)) === realpathSync(process.argv[1]);
