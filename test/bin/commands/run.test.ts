/** What the commands make of their options: results on stdout and in JSON files. */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { commandOf } from '../../../bin/commands/run.js';
import { COMMANDS, type CommandName } from '../../../bin/cli/options.js';
import { cli, hasFailed, succeed } from '../../support/process/cli.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { goldenBlob, goldenFolder, goldenPath } from '../../support/images/golden.js';

const CASE = 'tar-rafs.kinds.zstd.v6';
const BOOT = goldenPath(CASE);
const ID = path.basename(goldenBlob(CASE));

const output = (t: Test): string => path.join(temporaryDirectory(t), 'out.json');

t.test('every command has its file', async t => {
  const names = Object.keys(COMMANDS) as CommandName[]; // its own keys
  for (const name of names) t.type((await commandOf(name)).run, 'function', name);
});

t.test('check', async t => {
  const json = output(t);
  const argv = ['check', '-l', 'warn', '-J', json];
  const bare = await succeed(t, [...argv, BOOT]);
  const text = fs.readFileSync(json, 'utf8');
  t.notMatch(text, /\n/, 'JSON of one line');
  t.match(JSON.parse(text), { bootstrap: BOOT, blobs: [ID], fs_version: '6', compressor: 'zstd' });
  t.match(bare.stdout.toString(), /is valid.*\n.*chunk count: 11/);
  const old = await succeed(t, ['check', '-l', 'warn', '-B', BOOT]);
  t.same(old.stdout, bare.stdout, 'the same, spelled as an option');
  const deep = await cli(['check', '-D', goldenFolder(CASE), BOOT]);
  t.match(deep, { exit: 0, stderr: /verified 11 chunks/ }, 'with its blob, every chunk is read');
  const verbose = await succeed(t, ['check', '-v', '-l', 'warn', BOOT]);
  t.ok(verbose.stdout.length > bare.stdout.length, 'says more with -v');
});

t.test('check finds a changed chunk', async t => {
  const directory = temporaryDirectory(t);
  const bytes = fs.readFileSync(goldenBlob(CASE));
  bytes[5000]! ^= 1;
  fs.writeFileSync(path.join(directory, ID), bytes);
  hasFailed(t, await cli(['check', '-l', 'warn', '-D', directory, BOOT]), 'check', 1);
});

t.test('inspect', async t => {
  for (const request of [
    ['-R', 'stats'],
    ['--request', 'stats'],
    ['-R stats'], // one argument, as a client writes it
  ]) {
    const { stdout } = await succeed(t, ['inspect', '-B', BOOT, ...request]);
    t.equal(stdout.toString(), '{"inodes_count":29}', request.join(' '));
  }
  const blobs = await succeed(t, ['inspect', BOOT, '--request', 'blobs']);
  t.match(JSON.parse(blobs.stdout.toString()), [{ blob_id: ID }]);
  const prompt = await cli(['inspect', BOOT], { stdin: 'stats\nls\nexit\n' });
  t.match(prompt, { exit: 0 });
  t.match(prompt.stdout.toString(), /etc/, 'answers at its prompt');
  const ended = await cli(['inspect', BOOT], { stdin: 'stats\n' });
  t.match(ended, { exit: 0, hung: false }, 'the end of its input is the end');
});

t.test('stat', async t => {
  const json = output(t);
  const shown = await succeed(t, ['stat', '-B', BOOT]);
  t.match(shown.stdout.toString(), /Directories:\s+8\n/);
  const quiet = await succeed(t, ['stat', '-B', BOOT, '-J', json]);
  t.equal(quiet.stdout.length, 0, 'in a file instead');
  t.type(JSON.parse(fs.readFileSync(json, 'utf8')), 'object');
});

t.test('unpack', async t => {
  const directory = temporaryDirectory(t);
  const tar = path.join(directory, 'tar');
  const to = ['-l', 'warn', '--output', tar];
  const tars: Buffer[] = [];
  for (const where of [
    ['-b', goldenBlob(CASE)],
    ['-D', goldenFolder(CASE)],
  ]) {
    await succeed(t, ['unpack', '-B', BOOT, ...where, ...to]);
    tars.push(fs.readFileSync(tar));
  }
  const stdout = ['unpack', BOOT, '-b', goldenBlob(CASE), '-l', 'warn', '--output', '/dev/stdout'];
  tars.push((await succeed(t, stdout)).stdout);
  t.ok(tars[0]!.length > 1024);
  for (const other of tars) t.ok(other.equals(tars[0]!), 'one and the same tar');
  fs.rmSync(tar);
  hasFailed(t, await cli(['unpack', '-B', BOOT, ...to]), 'without blobs', 1, /backend|blob/);
  const remote = ['unpack', '-B', BOOT, '--backend-type', 'oss', '--backend-config', '{}', ...to];
  hasFailed(t, await cli(remote), 'from a storage', 1);
  t.same(fs.readdirSync(directory), [], 'no tar');
});
