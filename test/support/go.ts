/** Programs in Go that tests are made with: built where there is a compiler and its modules. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// compiled, this file lies in dist/test/support/
const SOURCES = fileURLToPath(new URL('../../../test/peer/', import.meta.url));

/** What go is to do: with the modules that are named, and the compiler that is here. */
const GO = {
  ...process.env,
  GOTOOLCHAIN: 'local',
  GOFLAGS: '-mod=readonly -buildvcs=false',
  CGO_ENABLED: '0',
};

/**
 * Builds what is in a folder of test/peer/ into a file. Returns why it cannot be had here: there is no
 * go, it is too old, or its modules cannot be reached. Throws if it does not compile.
 */
export const buildGo = (folder: string, output: string): string | undefined => {
  const go = (argv: readonly string[], timeout: number): { ok: boolean; said: string } => {
    const cwd = path.join(SOURCES, folder);
    const { status, stderr, error } = spawnSync('go', argv, { cwd, env: GO, timeout });
    return { ok: status === 0, said: error?.message ?? stderr?.toString() ?? '' };
  };
  if (!go(['version'], 10_000).ok) return 'needs go';
  const modules = go(['mod', 'download'], 90_000);
  if (!modules.ok) return `needs Go modules: ${modules.said.trim().split('\n').at(-1)}`;
  const built = go(['build', '-o', output, '.'], 200_000);
  if (!built.ok) throw new Error(`${folder} does not build: ${built.said}`);
  return undefined;
};
