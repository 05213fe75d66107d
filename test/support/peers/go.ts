/** Programs in Go that tests are made with: built where there is a compiler and its modules. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// compiled, this file lies in dist/test/support/
const SOURCES = fileURLToPath(new URL('../../../../test/peer/', import.meta.url));
// where a build takes nothing away
const BUILT = fileURLToPath(new URL('../../../peer/', import.meta.url));

/** What go is to do: with the modules that are named, and the compiler that is here. */
const GO = {
  ...process.env,
  GOTOOLCHAIN: 'local',
  GOFLAGS: '-mod=readonly -buildvcs=false',
  CGO_ENABLED: '0',
};

/** A program, or why it cannot be had here. */
export type Built = { program: string; missing: false } | { program: undefined; missing: string };

/**
 * Builds what is in a folder of test/peer/, once for each state of it: whoever comes later finds it.
 * It cannot be had where there is no go, it is too old, or its modules cannot be reached. Throws if
 * it does not compile.
 */
export const buildGo = (folder: string): Built => {
  const cwd = path.join(SOURCES, folder);
  const go = (argv: readonly string[], timeout: number): { ok: boolean; said: string } => {
    const { status, stderr, error } = spawnSync('go', argv, { cwd, env: GO, timeout });
    return { ok: status === 0, said: error?.message ?? stderr?.toString() ?? '' };
  };
  if (!go(['version'], 10_000).ok) return { program: undefined, missing: 'needs go' };
  const hash = createHash('sha256');
  for (const name of fs.readdirSync(cwd).sort()) {
    hash.update(`${name}\n`).update(fs.readFileSync(path.join(cwd, name)));
  }
  const program = path.join(BUILT, `${folder}-${hash.digest('hex').slice(0, 16)}`);
  if (fs.existsSync(program)) return { program, missing: false };
  const modules = go(['mod', 'download'], 90_000);
  if (!modules.ok) {
    const missing = `needs Go modules: ${modules.said.trim().split('\n').at(-1)}`;
    return { program: undefined, missing };
  }
  fs.mkdirSync(BUILT, { recursive: true });
  // others may be building it too
  const own = `${program}.${process.pid}`;
  const built = go(['build', '-o', own, '.'], 200_000);
  if (!built.ok) throw new Error(`${folder} does not build: ${built.said}`);
  fs.renameSync(own, program);
  return { program, missing: false };
};
