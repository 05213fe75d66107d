/**
 * A tour with files from this machine: a layer is made, converted in a pipe, checked, inspected and
 * unpacked again, and the result is compared with the input.
 *
 *     npm run demo
 *
 * Needs no root. Everything it makes is in demo/, which git ignores.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, lstatSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { accessSync, constants, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from './build.mjs';
import { install } from './install.mjs';
import { root } from './project.mjs';

const DEMO = path.join(root, 'demo');
const BIN = 'dist/bin/rafs-stream.js';
/** The layer's files are taken from these, in order, until there are enough. */
const SOURCES = ['/usr/include', '/usr/share/doc', '/usr/share/perl', '/usr/lib/python3', root];
const WANTED_BYTES = 64e6;
const WANTED_FILES = 8000;

const terminal = process.stdout.isTTY === true && !process.env.NO_COLOR;
const style = (code, text) => (terminal ? `\x1b[${code}m${text}\x1b[0m` : text);
const say = (text = '') => process.stdout.write(`${text}\n`);
let steps = 0;
const step = text => say(`\n${style(1, `${++steps}. ${text}`)}`);
const shownCommand = text => say(style(36, `   $ ${text}`));
const detail = text => say(text.replace(/^/gm, '   '));
const fact = (name, value) => say(`   ${name.padEnd(18)} ${value}`);

const mib = bytes => `${(bytes / 0x100000).toFixed(1)} MiB`;
const seconds = milliseconds => `${(milliseconds / 1000).toFixed(2)} s`;
const sizeOf = file => statSync(path.join(root, file)).size;

class DemoFailure extends Error {}

/** Runs a shell command in the project, as a reader would; returns its output, time and peak. */
const shell = async (line, { quiet = false, expect = 0 } = {}) => {
  shownCommand(line);
  const started = performance.now();
  const child = spawn('sh', ['-c', line], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const peak = watchMemory(child.pid);
  const pieces = [];
  child.stdout.on('data', piece => pieces.push(piece));
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  const result = {
    time: performance.now() - started,
    peak: peak(),
    output: Buffer.concat(pieces).toString(),
  };
  if (!quiet && result.output !== '') detail(result.output.trimEnd());
  if (status !== expect) {
    const output = quiet ? `\n${result.output}` : '';
    throw new DemoFailure(`ended with ${status}: ${line}${output}`);
  }
  return result;
};

/** Watches a shell and the programs that it starts; on Linux, returns their largest peak. */
const watchMemory = pid => {
  let most = 0;
  const look = () => {
    try {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      for (const child of [pid, ...children]) {
        const status = readFileSync(`/proc/${child}/status`, 'utf8');
        most = Math.max(most, 1024 * Number(/^VmHWM:\s*(\d+)/m.exec(status)?.[1] ?? 0));
      }
    } catch {
      // the process has ended, or this system has no such files
    }
  };
  const timer = setInterval(look, 20);
  return () => {
    clearInterval(timer);
    return most;
  };
};

const readable = file => {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
};

/** Paths, without the leading '/', of enough files for a layer; each after its directory. */
const chooseFiles = () => {
  const chosen = new Set();
  const facts = { bytes: 0, files: 0 };
  const full = () => facts.bytes > WANTED_BYTES || facts.files > WANTED_FILES;
  const skipped = [path.join(root, 'demo'), path.join(root, '.tap'), path.join(root, '.git')];

  const add = file => {
    const parent = path.dirname(file);
    if (parent !== '/' && !chosen.has(parent.slice(1))) add(parent);
    chosen.add(file.slice(1));
  };
  const walk = directory => {
    if (skipped.includes(directory) || !readable(directory)) return;
    add(directory);
    for (const name of readdirSync(directory).sort()) {
      if (full()) return;
      const file = path.join(directory, name);
      const stat = lstatSync(file);
      if (stat.isDirectory()) walk(file);
      else if (stat.isSymbolicLink()) add(file);
      else if (stat.isFile() && readable(file)) {
        add(file);
        facts.bytes += stat.size;
        facts.files++;
      }
    }
  };
  for (const source of SOURCES) {
    if (!full() && readable(source) && lstatSync(source).isDirectory()) walk(source);
  }
  return { ...facts, paths: [...chosen] };
};

const sha256 = async file => {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path.join(root, file))) hash.update(piece);
  return hash.digest('hex');
};

const gnuTar = /GNU tar/.test(spawnSync('tar', ['--version'], { encoding: 'utf8' }).stdout ?? '');

const main = async () => {
  const ready = install() || (await build());
  if (ready !== 0) return ready;
  rmSync(DEMO, { recursive: true, force: true });
  mkdirSync(DEMO);
  const rafs = `node ${BIN}`;
  say(`\n${style(1, 'rafs-stream')}: a layer there and back. All files are in ${DEMO}`);

  step('A layer, as a registry has it: a gzipped tar of files of this machine');
  const { paths, bytes, files } = chooseFiles();
  writeFileSync(path.join(DEMO, 'layer.list'), paths.map(name => `${name}\0`).join(''));
  const pack = await shell(
    'tar -C / --no-recursion --null -T demo/layer.list -czf demo/layer.tar.gz',
  );
  fact('files', `${files}, ${mib(bytes)} of content`);
  fact(
    'demo/layer.tar.gz',
    `${mib(sizeOf('demo/layer.tar.gz'))}, made by tar in ${seconds(pack.time)}`,
  );

  step('Converted in a pipe: one pass, nothing but the blob is written');
  const piped = await shell(`cat demo/layer.tar.gz | ${rafs} > demo/layer.blob`);
  fact('demo/layer.blob', `${mib(sizeOf('demo/layer.blob'))}, in ${seconds(piped.time)}`);
  if (piped.peak > 0) fact('peak memory', mib(piped.peak));

  step('The same from the file, with one thread: the bytes do not depend on the way');
  await shell(
    `${rafs} create --type targz-rafs --blob-inline-meta --features blob-toc --workers 0 ` +
      '--log-level warn --blob demo/again.blob demo/layer.tar.gz',
  );
  const [first, second] = [await sha256('demo/layer.blob'), await sha256('demo/again.blob')];
  fact('sha256', first);
  if (first !== second) throw new DemoFailure(`demo/again.blob differs: ${second}`);
  fact('demo/again.blob', 'the same');

  step('Checked: the metadata inside the blob is valid');
  await shell(`${rafs} check demo/layer.blob`);

  step('Looked into, without unpacking');
  await shell(`${rafs} inspect -R stats demo/layer.blob`);
  say();
  await shell(`${rafs} inspect -R blobs demo/layer.blob`);
  say();
  await shell(`${rafs} inspect -R ls demo/layer.blob`);

  step('Counted and measured');
  const stat = await shell(`${rafs} stat --bootstrap demo/layer.blob`, { quiet: true });
  const lines = stat.output.trim().split('\n');
  detail(lines.slice(0, 12).join('\n'));
  if (lines.length > 12) detail(`… ${lines.length - 12} more lines`);

  step('Shown in a page');
  await shell(`${rafs} report --output demo/report.html --log-level warn demo/layer.blob`);
  detail('Open demo/report.html in a browser: a treemap, the largest files, what compresses.');

  step('Unpacked to a tar again');
  const unpack = await shell(
    `${rafs} unpack --blob demo/layer.blob --output demo/layer.tar demo/layer.blob`,
  );
  fact('demo/layer.tar', `${mib(sizeOf('demo/layer.tar'))}, in ${seconds(unpack.time)}`);

  step('Compared by tar with the files that the layer was made of');
  if (gnuTar) {
    await shell('tar -C / --compare -f demo/layer.tar');
    detail('No difference: types, modes, owners, times, links and contents are the same.');
  } else {
    detail('Left out: this needs GNU tar.');
  }

  say(`\n${style(32, 'Done.')} What was made is in ${DEMO}:`);
  for (const name of readdirSync(DEMO)) fact(`demo/${name}`, mib(sizeOf(`demo/${name}`)));
  return 0;
};

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof DemoFailure)) throw error;
  say(`\n${style(31, 'The demo stopped here.')} ${error.message}`);
  process.exitCode = 1;
}
