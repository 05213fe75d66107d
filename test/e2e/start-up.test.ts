/** What can go wrong before a command has begun: signals, and too few file descriptors. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { CLI, hasFailed, PLAIN, start, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { filesBelow } from '../support/process/left.js';
import { layerPath } from '../support/tar/layers.js';

const STATUS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

t.test('a signal at any moment of a short run', async t => {
  const count = { before: 0, stopped: 0, done: 0 };
  for (let after = 0; after < 200; after += 5) {
    const signal = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const)[(after / 5) % 3]!;
    const out = temporaryDirectory(t);
    const { child, ended } = start([
      ...['create', '-t', 'tar-rafs', '--log-level', 'warn'],
      ...['-B', path.join(out, 'boot'), '-b', path.join(out, 'blob'), layerPath('kinds.tar.gz')],
    ]);
    await sleep(after);
    child.kill(signal);
    const ran = await ended;
    const what = `${signal} after ${after} ms`;
    if (ran.signal !== null) {
      // none of the program has run yet: the shell says 128 and the number for it
      t.match(ran, { signal, stderr: '' }, what);
      count.before++;
    } else if (ran.exit !== 0) {
      hasFailed(t, ran, what, STATUS[signal], new RegExp(`stopped by ${signal}`));
      count.stopped++;
    } else count.done++;
    const left = filesBelow(out);
    if (ran.exit === 0) t.same(left, ['blob', 'boot'], what);
    else
      t.same(
        left.filter(name => !/^(blob|boot)$/.test(name)),
        [],
        `${what}: nothing half-made`,
      );
  }
  t.comment(count);
});

const noFull = !fs.existsSync('/dev/full') && 'no such device';
t.test('standard output that takes nothing', { skip: noFull }, async t => {
  for (const argv of [['--version'], ['--version', '--verbose'], ['--help'], ['check', '--help']]) {
    const command = [...PLAIN, process.execPath, CLI, ...argv];
    const ran = spawnSync('sh', ['-c', 'exec "$@" > /dev/full', 'sh', ...command]);
    t.equal(ran.status, 1, argv.join(' '));
    t.match(ran.stderr.toString(), /^Error: the output is closed: [^\n]+\n$/, argv.join(' '));
  }
});

/** Runs something with at most so many open files. */
const withFiles = (files: number, argv: readonly string[]) =>
  spawnSync('sh', ['-c', `ulimit -n ${files}; exec "$@"`, 'sh', ...PLAIN, ...argv], {
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGKILL',
    env: { ...process.env, NO_COLOR: '1' },
  });

/** The fewest with which Node itself loads the start of the program: 19 or, from Node 22 on, 22. */
const leastOfNode = (): number => {
  for (let files = 10; ; files++) {
    if (withFiles(files, [process.execPath, CLI, '--version']).status === 0) return files;
  }
};

t.test('few open files', { skip: process.platform !== 'linux' && 'not Linux' }, async t => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  const layer = layerPath('kinds.tar.gz');
  fs.mkdirSync(at('source'));
  for (let i = 0; i < 40; i++) fs.writeFileSync(at(`source/${i}`), `${i}`.repeat(5000));
  const create = (type: string, out: string, source: string): string[] => [
    ...['create', '-t', type, '--log-level', 'warn'],
    ...[
      '-B',
      `${out}/boot`,
      type === 'targz-ref' ? '-b' : '-D',
      `${out}${type === 'targz-ref' ? '/blob' : ''}`,
    ],
    source,
  ];
  fs.mkdirSync(at('made'));
  await succeed(t, create('tar-rafs', at('made'), layer));
  const image = ['--bootstrap', at('made/boot'), '--blob-dir', at('made')];
  const [blob] = fs.readdirSync(at('made')).filter(name => name !== 'boot');
  const commands: Record<string, (out: string) => string[]> = {
    'create tar-rafs': out => create('tar-rafs', out, layer),
    'create targz-ref': out => create('targz-ref', out, layer),
    'create dir-rafs': out => create('dir-rafs', out, at('source')),
    check: () => ['check', '--log-level', 'warn', at('made/boot')],
    merge: out => ['merge', '--log-level', 'warn', '-B', `${out}/boot`, at('made/boot')],
    unpack: out => [
      ...['unpack', '--log-level', 'warn', '-b', at(`made/${blob!}`), '--output', `${out}/tar`],
      at('made/boot'),
    ],
    compact: out => [
      'compact',
      '--log-level',
      'warn',
      ...image,
      '--output-bootstrap',
      `${out}/boot`,
    ],
    report: out => ['report', '--log-level', 'warn', '--output', `${out}/page`, at('made/boot')],
  };
  const least = leastOfNode();
  t.ok(least < 25, `Node needs ${least}`);
  for (const [name, argv] of Object.entries(commands)) {
    let [failed, done] = [0, 0];
    for (const files of [...Array.from({ length: 13 }, (_, i) => least + i), 64]) {
      const out = at('out');
      fs.mkdirSync(out);
      const ran = withFiles(files, [process.execPath, CLI, ...argv(out)]);
      const what = `${name} with ${files} open files`;
      if (ran.status === 0) {
        t.equal(ran.stderr, '', what);
        done++;
      } else {
        const { status, signal, stderr } = ran;
        const exit = {
          exit: status,
          signal,
          stderr,
          stdout: Buffer.alloc(0),
          hung: signal !== null,
        };
        hasFailed(t, exit, what, 1, /EMFILE|open files/);
        t.same(filesBelow(out), [], `${what}: nothing is left`);
        failed++;
      }
      fs.rmSync(out, { recursive: true });
    }
    t.ok(done > 0, `${name}: ${done} done, ${failed} failed`);
  }
});
