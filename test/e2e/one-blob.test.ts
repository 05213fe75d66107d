/** One layer, and every way it can come and go: always the same blob. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { cli, start, succeed, type CliOptions } from '../support/process/cli.js';
import { makeFifo, temporaryDirectory } from '../support/process/fs.js';
import { layerTar, madeTar } from '../support/tar/layers.js';
import { numbers } from '../support/random.js';
import { makeFrame } from '../support/tar/zstd.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** As clients pack a layer, in their order; `policy` fs reads patterns from stdin. */
const pack = (blob: string, source: string, { type = 'tar-rafs', policy = 'none' } = {}) => [
  'create',
  ...['--log-level', 'warn', '--prefetch-policy', policy, '--blob', blob],
  ...['--whiteout-spec', 'none', '--fs-version', '6', '--type', type],
  ...['--blob-inline-meta', '--features', 'blob-toc', source],
];

/** Through standard input and output, without a command. */
const piped = async (t: Test, stdin: CliOptions['stdin'], argv: string[] = []): Promise<Buffer> =>
  (await succeed(t, ['-l', 'warn', ...argv], { stdin })).stdout;

/** Pieces of 1 byte up to `most`, and time for the other side between them. */
async function* crumbs(bytes: Buffer, most: number): AsyncIterable<Buffer> {
  const next = numbers(1);
  for (let at = 0; at < bytes.length;) {
    const size = 1 + next(most);
    yield bytes.subarray(at, at + size);
    at += size;
    await turn();
  }
}

/** Packs from one FIFO to another, as clients do; the source is written piece by piece. */
const throughFifos = async (
  t: Test,
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  { policy = 'none', stdin = '' } = {},
): Promise<Buffer> => {
  const directory = temporaryDirectory(t);
  const [blob, source] = [path.join(directory, 'blob.rafs'), path.join(directory, 'blob.targz')];
  makeFifo(blob, source);
  const { ended } = start(pack(blob, source, { policy }), { stdin });
  // opened side by side, since either end may wait for us
  const [bytes] = await Promise.all([
    fs.promises.readFile(blob),
    pipeline(pieces, fs.createWriteStream(source)),
  ]);
  t.match(await ended, { exit: 0, stderr: '' });
  return bytes;
};

const LAYERS: readonly [name: string, tar: () => Buffer][] = [
  ['a Debian-like tree', () => madeTar('debian', { scale: 0.05 })],
  ['files of all sizes', () => layerTar('sizes')],
  ['entries of all kinds', () => layerTar('kinds')],
];

for (const [name, make] of LAYERS) {
  t.test(name, async t => {
    const directory = temporaryDirectory(t);
    const tar = make();
    const gzip = gzipSync(tar);
    const zstd = makeFrame?.(tar);
    const at = (file: string): string => path.join(directory, file);
    fs.writeFileSync(at('layer.tar'), tar);
    fs.writeFileSync(at('layer.tar.gz'), gzip);
    if (zstd) fs.writeFileSync(at('layer.tar.zst'), zstd);

    const blob = await piped(t, fs.createReadStream(at('layer.tar.gz')));
    const due = sha256(blob);
    const same = (bytes: Buffer, what: string): void => void t.equal(sha256(bytes), due, what);
    const packed = async (source: string, type?: string): Promise<Buffer> => {
      await succeed(t, pack(at('blob'), at(source), type ? { type } : {}));
      return fs.readFileSync(at('blob'));
    };

    await t.test('from a file', async () => {
      same(await packed('layer.tar'), 'tar');
      same(await packed('layer.tar.gz', 'targz-rafs'), 'tar.gz');
      same(await packed('layer.tar.gz'), 'tar.gz, called a tar');
      same(await packed('layer.tar', 'targz-rafs'), 'tar, called a tar.gz');
    });
    await t.test('through a pipe', async () => same(await piped(t, tar), 'tar'));
    await t.test('zstd', { skip: !zstd && 'no zstd here' }, async () => {
      same(await packed('layer.tar.zst'), 'from a file');
      same(await piped(t, zstd), 'through a pipe');
    });
    await t.test('through two FIFOs', async t => {
      same(await throughFifos(t, [tar]), 'tar');
      same(await throughFifos(t, [gzip]), 'tar.gz');
    });
    await t.test('with any number of threads', async () => {
      for (const workers of ['0', '1', '2', '5']) {
        same(await piped(t, tar, ['--workers', workers]), `${workers} threads`);
      }
    });
  });
}

t.test('a source that comes in crumbs', async t => {
  const tar = layerTar('kinds');
  const gzip = gzipSync(tar);
  const due = sha256(await piped(t, tar));
  t.equal(sha256(await throughFifos(t, crumbs(tar, 700))), due, 'tar through a FIFO');
  t.equal(sha256(await throughFifos(t, crumbs(gzip, 200))), due, 'tar.gz through a FIFO');
  t.equal(sha256(await piped(t, Readable.from(crumbs(gzip, 200)))), due, 'tar.gz through a pipe');
});

t.test('a reader that takes its time', async t => {
  const tar = madeTar('debian', { scale: 0.02 });
  const { child, ended } = start(['-l', 'warn'], { stdin: tar, read: false });
  const pieces: Buffer[] = [];
  for await (const piece of child.stdout as AsyncIterable<Buffer>) {
    pieces.push(piece);
    await sleep(5);
  }
  t.match(await ended, { exit: 0, stderr: '' });
  t.equal(sha256(Buffer.concat(pieces)), sha256(await piped(t, tar)));
});

t.test('prefetch patterns on stdin, FIFOs for the rest', async t => {
  const directory = temporaryDirectory(t);
  const tar = layerTar('layer-0');
  const source = path.join(directory, 'layer.tar');
  fs.writeFileSync(source, tar);
  const blob = path.join(directory, 'blob');
  // clients send one character, without the end of its line
  for (const patterns of ['/', '/bin\n/opt/app/data\n']) {
    await succeed(t, pack(blob, source, { policy: 'fs' }), { stdin: patterns });
    const due = fs.readFileSync(blob);
    const bytes = await throughFifos(t, [tar], { policy: 'fs', stdin: patterns });
    t.equal(sha256(bytes), sha256(due), JSON.stringify(patterns));
    await succeed(t, pack(blob, source));
    t.not(sha256(fs.readFileSync(blob)), sha256(due), 'patterns are in the blob');
  }
});

t.test('a FIFO is read to its end, far behind that of the layer', async t => {
  const tar = layerTar('kinds');
  const behind = [tar, Buffer.alloc(0x500000)];
  t.equal(sha256(await throughFifos(t, behind)), sha256(await piped(t, tar)));
});

t.test('a directory gives the same blob every time', async t => {
  const directory = temporaryDirectory(t);
  const source = path.join(directory, 'source');
  const blob = path.join(directory, 'blob');
  fs.mkdirSync(source);
  const untar = spawn('tar', ['-xf', '-', '-C', source]);
  const extracted = new Promise(resolve => untar.once('close', resolve));
  untar.stdin.end(madeTar('debian', { scale: 0.02 }));
  if ((await extracted) !== 0) throw new Error('tar failed');
  const digests = new Set<string>();
  for (const workers of ['0', '1', '2', '5']) {
    const argv = [...pack(blob, source, { type: 'dir-rafs' }), '--workers', workers];
    t.match(await cli(argv), { exit: 0 });
    digests.add(sha256(fs.readFileSync(blob)));
  }
  t.equal(digests.size, 1);
});
