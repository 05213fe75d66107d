/** What happens midway: signals, readers that go away, writers that wait. Nothing stays, nobody hangs. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { hasFailed, start, type Running } from '../support/process/cli.js';
import { makeFifo, temporaryDirectory } from '../support/process/fs.js';
import { layerPath } from '../support/tar/layers.js';
import { filesBelow } from '../support/process/left.js';
import { randomBytes } from '../support/random.js';
import { memberOf } from '../support/tar/tar.js';

const POOL = randomBytes(0x110000, 1);

/** Content whose chunks all differ. */
const content = (mib: number, from: number): Buffer =>
  Buffer.concat(
    Array.from({ length: mib }, (_, i) => POOL.subarray((from + i) * 999).subarray(0, 0x100000)),
  );

/** The beginning of a layer that has more to come: more than is held before any is written. */
const UNFINISHED = Buffer.concat([
  memberOf({ name: 'first', content: 'x' }),
  memberOf({ name: 'large', size: 0x10000000 }),
  content(24, 0),
]);

/** Waits until something holds, but not for ever. */
const until = async (holds: () => boolean, what: string, timeoutMs = 30_000): Promise<void> => {
  for (const end = Date.now() + timeoutMs; !holds(); await sleep(10)) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
  }
};

/** Waits until it catches signals; then it will soon wait for its peer, which nothing tells. */
const whenCatching = async ({ child }: Running): Promise<void> => {
  const status = `/proc/${child.pid}/status`;
  const catches = (): boolean => {
    const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(fs.readFileSync(status, 'utf8'))?.[1];
    return (BigInt(`0x${mask ?? '0'}`) & 1n) !== 0n; // SIGHUP is number 1; Node itself catches others
  };
  if (fs.existsSync('/proc/self/status')) await until(catches, 'it catches SIGHUP');
  else await sleep(5000);
  await sleep(300);
};

/** Bytes of all files in a folder. */
const sizeOf = (folder: string): number =>
  filesBelow(folder).reduce((sum, name) => sum + fs.statSync(path.join(folder, name)).size, 0);

/** Waits in vain, so that a test of something that hangs ends. */
const within = async <T>(work: Promise<T>, what: string, timeoutMs = 30_000): Promise<T> => {
  const late = new AbortController();
  const fail = sleep(timeoutMs, undefined, { signal: late.signal }).then(() => {
    throw new Error(`waited in vain for ${what}`);
  });
  try {
    return await Promise.race([work, fail]);
  } finally {
    fail.catch(() => undefined);
    late.abort();
  }
};

const toFiles = (out: string, source: string): string[] => [
  'create',
  ...['-t', 'tar-rafs', '-B', `${out}/boot`, '-D', out, '-J', `${out}/out.json`],
  ...['-l', 'warn', source],
];

const toBlob = (blob: string, source: string, policy = 'none'): string[] => [
  'create',
  ...['--log-level', 'warn', '--prefetch-policy', policy, '--blob', blob],
  ...['--whiteout-spec', 'none', '--fs-version', '6', '--type', 'tar-rafs'],
  ...['--blob-inline-meta', '--features', 'blob-toc', source],
];

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  t.test(`${signal} midway`, async t => {
    const out = temporaryDirectory(t);
    const running = start(toFiles(out, '/dev/stdin'), { stdin: undefined });
    running.child.stdin.write(UNFINISHED);
    await until(() => sizeOf(out) > 0x100000, 'some of the blob is written');
    running.child.kill(signal);
    hasFailed(t, await running.ended, signal, status, new RegExp(signal));
    t.same(filesBelow(out), [], 'nothing is left');
  });
}

t.test('a signal before anything came', async t => {
  const out = temporaryDirectory(t);
  const running = start(toFiles(out, '/dev/stdin'), { stdin: undefined });
  await until(() => filesBelow(out).length > 0, 'the outputs are open');
  running.child.kill('SIGTERM');
  hasFailed(t, await running.ended, 'SIGTERM', 143);
  t.same(filesBelow(out), []);
});

for (const waiting of ['reader', 'writer'] as const) {
  t.test(`a signal while a FIFO has no ${waiting}`, async t => {
    const directory = temporaryDirectory(t);
    const out = path.join(directory, 'out');
    const fifo = path.join(directory, 'fifo');
    fs.mkdirSync(out);
    makeFifo(fifo);
    const argv =
      waiting === 'reader'
        ? toBlob(fifo, layerPath('kinds.tar.gz'))
        : toBlob(path.join(out, 'blob'), fifo);
    const running = start(argv);
    if (waiting === 'writer') await until(() => filesBelow(out).length > 0, 'the output is open');
    else await whenCatching(running);
    running.child.kill('SIGINT');
    hasFailed(t, await within(running.ended, 'the end'), 'SIGINT', 130);
    t.same(filesBelow(out), []);
  });
}

/** Runs a line of shell beside us; what ended it. It does not outlive the test. */
const peer = (
  t: Test,
  line: string,
  ...args: string[]
): Promise<NodeJS.Signals | number | null> => {
  const child = spawn('sh', ['-c', line, 'sh', ...args], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  return new Promise(resolve => child.once('close', (code, signal) => resolve(signal ?? code)));
};

/** Copies a FIFO to a file. */
const reader = (t: Test, fifo: string, file: string) =>
  peer(t, 'exec cat < "$1" > "$2"', fifo, file);

/** Writes zeros into a FIFO for ever. */
const writer = (t: Test, fifo: string) => peer(t, 'exec cat /dev/zero > "$1"', fifo);

t.test('the reader of the output FIFO goes', async t => {
  const directory = temporaryDirectory(t);
  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  const running = start(toBlob(fifo, '/dev/stdin'), { stdin: undefined });
  const gone = peer(t, 'exec head -c 100000 < "$1" > /dev/null', fifo);
  running.child.stdin.write(UNFINISHED);
  await within(gone, 'the reader');
  running.child.stdin.write(content(24, 24));
  hasFailed(t, await within(running.ended, 'the end'), 'create', 1, /EPIPE/);
  t.same(filesBelow(directory), ['fifo']);
});

t.test('the reader of stdout goes', async t => {
  const running = start([], { stdin: undefined, read: false });
  running.child.stdin.write(UNFINISHED);
  await within(new Promise(resolve => running.child.stdout.once('readable', resolve)), 'a byte');
  running.child.stdout.destroy();
  running.child.stdin.write(content(24, 24));
  hasFailed(t, await within(running.ended, 'the end'), 'rafs-stream', 1, /EPIPE/);
});

t.test('nobody reads stdout at all', async t => {
  const running = start([], {
    stdin: fs.createReadStream(layerPath('sample.tar.gz')),
    read: false,
  });
  running.child.stdout.destroy();
  hasFailed(t, await within(running.ended, 'the end'), 'rafs-stream', 1, /EPIPE/);
});

t.test('the writer of the source FIFO goes midway', async t => {
  const directory = temporaryDirectory(t);
  const out = path.join(directory, 'out');
  const fifo = path.join(directory, 'fifo');
  fs.mkdirSync(out);
  makeFifo(fifo);
  const running = start(toFiles(out, fifo));
  await fs.promises.writeFile(fifo, UNFINISHED);
  hasFailed(t, await within(running.ended, 'the end'), 'create', 1);
  t.same(filesBelow(out), []);
});

/** Failures before anything is built, with both FIFOs named. */
const EARLY: readonly [what: string, argv: (blob: string, source: string) => string[], number][] = [
  ['a chunk size that is none', (b, s) => [...toBlob(b, s), '--chunk-size', '0x1001'], 1],
  ['a dictionary that is missing', (b, s) => [...toBlob(b, s), '--chunk-dict', '/none'], 1],
  ['a command line that is wrong', (b, s) => [...toBlob(b, s), '--no-such-option'], 2],
  ['a value that is wrong', (b, s) => [...toBlob(b, s), '--compressor', 'brotli'], 2],
];

for (const [what, argv, status] of EARLY) {
  t.test(`an early failure lets both peers go: ${what}`, async t => {
    const directory = temporaryDirectory(t);
    const [blob, source] = [path.join(directory, 'blob'), path.join(directory, 'source')];
    makeFifo(blob, source);
    const copy = path.join(directory, 'copy');
    const peers = [reader(t, blob, copy), writer(t, source)] as const;
    const ran = await start(argv(blob, source)).ended;
    t.match(ran, { exit: status, hung: false });
    t.match(ran.stderr, /\S/);
    await within(peers[0], 'the end of the output FIFO');
    t.equal(await within(peers[1], 'the writer of the source FIFO'), 'SIGPIPE');
    t.equal(fs.statSync(copy).size, 0);
  });
}

t.test('a failure midway lets both peers go', async t => {
  const directory = temporaryDirectory(t);
  const [blob, source] = [path.join(directory, 'blob'), path.join(directory, 'source')];
  makeFifo(blob, source);
  const read = reader(t, blob, path.join(directory, 'copy'));
  const line = '{ gzip -dc "$1" | head -c 5000; exec yes; } > "$2"';
  const written = peer(t, line, layerPath('sample.tar.gz'), source);
  hasFailed(t, await start(toBlob(blob, source)).ended, 'create', 1);
  await within(read, 'the end of the output FIFO');
  t.equal(await within(written, 'the writer of the source FIFO'), 'SIGPIPE');
});

t.test('a source that is missing lets the reader of the output go', async t => {
  const directory = temporaryDirectory(t);
  const blob = path.join(directory, 'blob');
  makeFifo(blob);
  const read = reader(t, blob, path.join(directory, 'copy'));
  const running: Running = start(toBlob(blob, path.join(directory, 'none')));
  hasFailed(t, await running.ended, 'create', 1, /ENOENT/);
  await within(read, 'the end of the output FIFO');
});

t.test('a signal while unpack waits for a reader', async t => {
  const directory = temporaryDirectory(t);
  const [blob, tar] = [path.join(directory, 'blob'), path.join(directory, 'tar')];
  t.match(await start(toBlob(blob, layerPath('kinds.tar.gz'))).ended, { exit: 0 });
  makeFifo(tar);
  const running = start(['unpack', '-l', 'warn', blob, '--output', tar]);
  await whenCatching(running);
  running.child.kill('SIGTERM');
  hasFailed(t, await within(running.ended, 'the end'), 'unpack', 143, /SIGTERM/);
});

t.test('what unpack cannot do lets the reader of its output go', async t => {
  const directory = temporaryDirectory(t);
  const tar = path.join(directory, 'tar');
  makeFifo(tar);
  const read = reader(t, tar, path.join(directory, 'copy'));
  const argv = ['unpack', '-B', '/nonexistent', '--backend-type', 'oss', '--output', tar];
  hasFailed(t, await start(argv).ended, 'unpack', 1);
  await within(read, 'the end of the output FIFO');
});
