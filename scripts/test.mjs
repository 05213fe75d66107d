/**
 * Installs and builds what is needed, then runs the tests: all of them, or those that are named.
 *
 *     npm test
 *     npm test -- test/streams/chunker.test.ts
 *     npm test -- test/lib --bail
 *
 * Leaves the counts in .tap/counts.json: { passed, failed, skipped } as tap has them.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from './build.mjs';
import { install } from './install.mjs';
import { filesBelow, root, run } from './project.mjs';

const OUTPUT = path.join(root, '.tap/output.tap');
const COUNTS = path.join(root, '.tap/counts.json');

/** What tap is to run for an argument: compiled tests for a source or a directory of them. */
const compiled = argument => {
  const file = path.relative(root, path.resolve(argument));
  if (!file.startsWith('test')) return [argument];
  if (file.endsWith('.ts')) return [`dist/${file.replace(/ts$/, 'js')}`];
  if (!existsSync(path.join(root, file)) || !statSync(path.join(root, file)).isDirectory()) {
    return [argument];
  }
  return filesBelow(`dist/${file}`).filter(name => name.endsWith('.test.js'));
};

/** The summary at the end of tap's output: `# { total: 5, pass: 1, fail: 2, skip: 1 }`. */
const countsOf = output => {
  const summary = /^# \{ (total: [^}]*) \}$/gm;
  const last = [...output.matchAll(summary)].at(-1);
  if (!last) return undefined;
  const {
    pass = 0,
    fail = 0,
    skip = 0,
    todo = 0,
  } = Object.fromEntries(
    last[1].split(', ').map(item => [item.split(': ')[0], Number(item.split(': ')[1])]),
  );
  return { passed: pass, failed: fail, skipped: skip + todo };
};

const main = () => {
  for (const file of [OUTPUT, COUNTS]) rmSync(file, { force: true });
  const ready = install() || build();
  if (ready !== 0) {
    process.stderr.write('Not built, so not tested.\n');
    return ready;
  }
  mkdirSync(path.dirname(OUTPUT), { recursive: true });
  const tap = path.join(root, 'node_modules/tap/dist/esm/run.mjs');
  const args = process.argv.slice(2).flatMap(compiled);
  const status = run(process.execPath, [tap, `--output-file=${OUTPUT}`, ...args]);
  const counts = existsSync(OUTPUT) ? countsOf(readFileSync(OUTPUT, 'utf8')) : undefined;
  if (counts) writeFileSync(COUNTS, `${JSON.stringify(counts)}\n`);
  return status;
};

process.exitCode = main();
