/**
 * Installs and builds what is needed, then runs the tests: all of them, or those named.
 *
 *     npm test
 *     npm test -- test/streams/chunker.test.ts
 *     npm test -- test/lib --bail
 *
 * Writes the counts to .tap/counts.json: { passed, failed, skipped } as tap reports them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { build } from './build.mjs';
import { install } from './install.mjs';
import { filesBelow, root, run } from './project.mjs';

const OUTPUT = path.join(root, '.tap/output.tap');
const TAP = path.join(root, 'node_modules/tap/dist/esm/run.mjs');
const COUNTS = path.join(root, '.tap/counts.json');

/** What tap should run for an argument: the compiled tests of a source file or a directory. */
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

/** Whether a line of TAP only says that something nested passed: a hundred thousand of them do. */
const isDetail = line =>
  line.trim() === '' ||
  /^\s*\d+\.\.\d+$/.test(line) ||
  (/^\s+(ok \d|# Subtest)/.test(line) && !/ # (SKIP|TODO)/i.test(line));

/** Runs tap for a log: all its output goes to the file, and what matters to stdout. */
const runForLog = async args => {
  const output = createWriteStream(OUTPUT);
  const child = spawn(process.execPath, [TAP, ...args], {
    cwd: root,
    stdio: ['inherit', 'pipe', 'inherit'],
  });
  const closed = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', code => resolve(code ?? 1));
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (!output.write(`${line}\n`)) await once(output, 'drain');
    if (!isDetail(line)) process.stdout.write(`${line}\n`);
  }
  output.end();
  await finished(output);
  return closed;
};

const main = async () => {
  for (const file of [OUTPUT, COUNTS]) rmSync(file, { force: true });
  const ready = install() || (await build());
  if (ready !== 0) {
    process.stderr.write('Not built, so not tested.\n');
    return ready;
  }
  mkdirSync(path.dirname(OUTPUT), { recursive: true });
  const args = process.argv.slice(2).flatMap(compiled);
  // on a terminal tap draws; elsewhere it writes TAP, and twice if it also has an output file
  const status = process.stdout.isTTY
    ? run(process.execPath, [TAP, `--output-file=${OUTPUT}`, ...args])
    : await runForLog(args);
  const counts = existsSync(OUTPUT) ? countsOf(readFileSync(OUTPUT, 'utf8')) : undefined;
  if (counts) writeFileSync(COUNTS, `${JSON.stringify(counts)}\n`);
  return status;
};

process.exitCode = await main();
