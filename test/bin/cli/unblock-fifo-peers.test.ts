import { spawn } from 'node:child_process';
import path from 'node:path';
import t, { type Test } from 'tap';
import { unblockFifoPeers } from '../../../bin/cli/unblock-fifo-peers.js';
import { makeFifo, temporaryDirectory } from '../../support/process/fs.js';

/** Waits at a FIFO until it is let go; resolves to how it ended. */
const waiting = (t: Test, what: 'reader' | 'writer', fifo: string) => {
  const line = what === 'reader' ? 'exec cat < "$1"' : 'exec cat /dev/zero > "$1"';
  const child = spawn('sh', ['-c', line, 'sh', fifo], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  return new Promise(resolve => child.once('close', (code, signal) => resolve(signal ?? code)));
};

t.test('whoever waits at a FIFO of the command line is let go', async t => {
  const directory = temporaryDirectory(t);
  const [blob, source] = [path.join(directory, 'b'), path.join(directory, 's')];
  makeFifo(blob, source);
  const spellings = [['--blob', blob], [`--blob=${blob}`], ['-b', blob], [`-b${blob}`]];
  for (const spelling of spellings) {
    const [read, written] = [waiting(t, 'reader', blob), waiting(t, 'writer', source)];
    await unblockFifoPeers(['create', '--type', 'nosuch', ...spelling, source]);
    t.equal(await read, 0, `${spelling.join(' ')}: the reader sees the end`);
    t.equal(await written, 'SIGPIPE', 'the writer sees that nobody reads');
  }
});

t.test('what is no FIFO is not touched', async t => {
  const directory = temporaryDirectory(t);
  await unblockFifoPeers([
    '--blob',
    path.join(directory, 'none'),
    directory,
    '-',
    '',
    '-x',
    '--y=',
  ]);
  t.same(await unblockFifoPeers([]), undefined);
});
