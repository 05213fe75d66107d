/** Equal directories give equal images, wherever and whenever they were made. */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';

const NAMES = ['b', 'a', 'sub/x', 'sub/é'];

/** A tree whose files were made in some order, and changed at some time. */
const tree = (t: Test, names: readonly string[], time: number): string => {
  const source = path.join(temporaryDirectory(t), 'tree');
  fs.mkdirSync(path.join(source, 'sub'), { recursive: true });
  for (const name of names) fs.writeFileSync(path.join(source, name), `content of ${name}`);
  for (const name of [...names, 'sub', '.']) fs.utimesSync(path.join(source, name), time, time);
  return source;
};

const bytesOf = async (
  t: Test,
  source: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Buffer> => {
  const out = temporaryDirectory(t);
  const at = (name: string): string => path.join(out, name);
  const create = ['create', '-l', 'warn', '-t', 'dir-rafs', '-B', at('boot'), '-b', at('blob')];
  await succeed(t, [...create, ...argv, source], { env });
  return Buffer.concat([fs.readFileSync(at('boot')), fs.readFileSync(at('blob'))]);
};

t.test('the same tree, made twice', async t => {
  const first = tree(t, NAMES, 1_700_000_000.25);
  const second = tree(t, NAMES.toReversed(), 1_800_000_000.5);
  const clamp = ['--mtime-clamp', '1600000000'];
  for (const version of ['5', '6']) {
    const v = ['-v', version];
    const due = await bytesOf(t, first, [...v, ...clamp]);
    t.ok(due.equals(await bytesOf(t, second, [...v, ...clamp])), `v${version}: --mtime-clamp`);
    const env = { SOURCE_DATE_EPOCH: '1600000000' };
    t.ok(due.equals(await bytesOf(t, second, v, env)), `v${version}: SOURCE_DATE_EPOCH`);
    const other = { SOURCE_DATE_EPOCH: '5' };
    t.ok(due.equals(await bytesOf(t, second, [...v, ...clamp], other)), 'the option counts');
    t.notOk(due.equals(await bytesOf(t, second, v)), 'without it, times differ');
  }
});

t.test('owners, and the time of the root', async t => {
  const source = tree(t, NAMES, 1_700_000_000);
  const out = temporaryDirectory(t);
  const boot = path.join(out, 'boot');
  const create = ['create', '-l', 'warn', '-t', 'dir-rafs', '-B', boot, '-D', out, source];
  const stat = async (name: string): Promise<string> =>
    (await cli(['inspect', '-R', `stat ${name}`, boot])).stdout.toString();
  await succeed(t, [...create, '--owner', '12:34', '--mtime-clamp', '1650000000']);
  t.match(await stat('a'), /UID: +12\s+GID: +34\s+Mtime: +1650000000/);
  const listed = async (): Promise<string> =>
    (await cli(['check', '-v', '-l', 'warn', boot])).stdout.toString();
  t.match(await listed(), /^inode: dir "\/".* i_mtime 1650000000 /m);
  await succeed(t, create);
  t.match(await listed(), /^inode: dir "\/".* i_mtime 0 /m, 'as nydus-image has it');
  for (const [argv, exit, text] of [
    [['--owner', 'root'], 2, /expected an owner as UID:GID/],
    [['--mtime-clamp', 'now'], 2, /seconds since 1970 in --mtime-clamp/],
    [['-t', 'tar-rafs', '--owner', '1'], 1, /are for directories/],
  ] as const) {
    const type = argv[0] === '-t' ? [] : ['-t', 'dir-rafs'];
    const from = argv[0] === '-t' ? '/dev/null' : source;
    const to = ['-B', path.join(out, 'none'), '-D', out];
    const ran = await cli(['create', ...type, ...argv, ...to, from]);
    hasFailed(t, ran, argv.join(' '), exit, text);
  }
});
