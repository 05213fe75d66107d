/** The entry: which command is run, what goes to which stream, exit statuses. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { CLI, cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { layerPath, layerTar } from '../support/tar/layers.js';

const PIPED = ['--blob-inline-meta', '--features', 'blob-toc'];

t.test('version and help go to stdout', async t => {
  const version = (await succeed(t, ['--version'])).stdout.toString();
  t.match(version, /Version:\s*(v\S+)/, 'as clients look for it');
  t.equal((await succeed(t, ['-V'])).stdout.toString(), version);
  const help = (await succeed(t, ['--help'])).stdout.toString();
  t.match(help, /Usage: rafs-stream /);
  const create = (await succeed(t, ['create', '-h'])).stdout.toString();
  for (const wanted of ['--type', 'tar-rafs', '--batch-size', '--encrypt']) {
    t.ok(create.includes(wanted), `${wanted}, by which clients know what there is`);
  }
});

t.test('without a command it packs standard input', async t => {
  const directory = temporaryDirectory(t);
  const blob = path.join(directory, 'blob');
  const create = ['create', '-l', 'warn', '-t', 'tar-rafs', ...PIPED, '-b', blob];
  await succeed(t, [...create, layerPath('kinds.tar.gz')]);
  const due = fs.readFileSync(blob);
  const stdin = layerTar('kinds');
  const packed = await succeed(t, ['-l', 'warn'], { stdin });
  t.ok(packed.stdout.equals(due), 'the same as create with inline meta and TOC');
  const options = ['-l', 'warn', '--compressor', 'lz4_block', '--chunk-size', '0x10000'];
  const other = await succeed(t, options, { stdin });
  t.notOk(other.stdout.equals(due), 'options are those of create');
  fs.writeFileSync(path.join(directory, 'other'), other.stdout);
  const checked = await succeed(t, ['check', '-l', 'warn', path.join(directory, 'other')]);
  t.match(checked.stdout.toString(), /chunk size: 65536/);
});

t.test('without a command, on a terminal', async t => {
  const line = `'${process.execPath}' '${CLI}'`;
  const terminal = (command: string) =>
    spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', timeout: 60_000 });
  if (spawnSync('script', ['--version']).error) return t.plan(0, 'needs script');
  t.match(terminal(line), { status: 0, stdout: /Usage:.* rafs-stream / }, 'prints its usage');
  const source = layerPath('kinds.tar.gz');
  const toTerminal = terminal(`${line} < '${source}'`);
  t.match(toTerminal, { status: 2, stdout: /terminal/ }, 'does not write a blob there');
  t.ok(toTerminal.stdout.length < 1000);
  const bar = terminal(`${line} < '${source}' > /dev/null`);
  t.match(bar, { status: 0, stdout: /create .*24\.4 KiB in, .* 29 files/ }, 'shows progress');
});

t.test('its other name', async t => {
  const directory = temporaryDirectory(t);
  const other = path.join(directory, 'nydus-image');
  fs.symlinkSync(CLI, other);
  const run = (...argv: string[]) =>
    spawnSync(process.execPath, [other, ...argv], { encoding: 'utf8', input: '' });
  t.match(run('create', '-h'), { status: 0, stdout: /Usage: nydus-image create/ });
  t.match(run(), { status: 0, stdout: /Usage: / }, 'does not pack by itself');
});

t.test('errors', async t => {
  for (const argv of [['nosuch'], ['create'], ['create', '--nosuch'], ['check'], ['-l', 'loud']]) {
    const ran = await cli(argv);
    t.equal(ran.exit, 2, argv.join(' '));
    t.equal(ran.stdout.length, 0, 'stdout is for results');
    t.match(ran.stderr, /^error: [^\n]+\n/);
    t.notMatch(ran.stderr, /\bat \w+ \(/, 'no stack');
  }
  const missing = await cli(['check', '/nonexistent/boot']);
  hasFailed(t, missing, 'a file that is missing', 1, /ENOENT.*\/nonexistent\/boot/);
  const names = await cli(['check', '/nonexistent/\x1b[31mred\n']);
  hasFailed(t, names, 'a name with control characters', 1);
  t.notMatch(names.stderr, /\x1b/, 'they do not reach the terminal'); // eslint-disable-line no-control-regex
});

t.test('colours are for terminals', async t => {
  const ran = await cli(['create', '-h'], { env: { NO_COLOR: '', FORCE_COLOR: '' } });
  t.notMatch(ran.stdout.toString(), /\x1b/); // eslint-disable-line no-control-regex
});
