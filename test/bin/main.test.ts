import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { CLI } from '../support/process/cli.js';
import { goldenPath } from '../support/images/golden.js';

const BOOT = goldenPath('merge.v6');

t.test('a reader that goes away costs one line and status 1, whatever is printed', async t => {
  for (const argv of [
    ['--help'],
    ['create', '--help'],
    ['--version', '--verbose'],
    ['check', '-l', 'warn', '--verbose', BOOT],
    ['inspect', '-R', 'stats', BOOT],
    ['stat', '--bootstrap', BOOT],
  ]) {
    // the shell closes the reading end before the program starts
    const script = '{ sleep 0.3; "$@"; echo "status $?" >&2; } | true';
    const child = spawn('sh', ['-c', script, 'sh', process.execPath, CLI, ...argv], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const lines = (await text(child.stderr)).trimEnd().split('\n');
    t.same(lines, ['Error: the output is closed: write EPIPE', 'status 1'], argv.join(' '));
  }
});

t.test('signals end it with a line and 128 plus their number', async t => {
  for (const [signal, status] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const) {
    const argv = ['create', '-t', 'tar-rafs', '-B', '/dev/null', '-b', '/dev/null', '-'];
    const child = spawn(process.execPath, [CLI, ...argv], { stdio: ['pipe', 'ignore', 'pipe'] });
    const said = text(child.stderr);
    // it reads: then it has surely started
    child.stdin.on('error', () => undefined);
    await new Promise<void>(resolve => child.stdin.write(Buffer.alloc(0x400000), () => resolve()));
    child.kill(signal);
    const [code] = (await once(child, 'close')) as [number];
    t.equal(code, status);
    t.equal((await said).trimEnd().split('\n').at(-1), `Error: stopped by ${signal}`);
  }
});
