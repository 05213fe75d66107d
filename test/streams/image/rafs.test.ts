import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { rafs, tarfs, zran } from '../../../streams/image/rafs.js';
import { cli, succeed } from '../../support/process/cli.js';
import { memberOf } from '../../support/tar/tar.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';

/** A layer of a few hundred files and one of some megabytes, made by tar and gzip. */
const layerIn = (t: Test): string => {
  const folder = temporaryDirectory(t);
  const tree = path.join(folder, 'tree');
  fs.mkdirSync(path.join(tree, 'etc'), { recursive: true });
  for (let i = 0; i < 300; i++) {
    fs.writeFileSync(path.join(tree, 'etc', `file-${i}`), `${i}\n`.repeat(i * 10));
  }
  const big = Buffer.alloc(0x500000);
  for (let i = 0; i < big.length; i += 4) big.writeUInt32LE((i * 2654435761) % 0x100000000, i);
  fs.writeFileSync(path.join(tree, 'big'), big);
  const file = path.join(folder, 'layer.tar.gz');
  execFileSync('tar', ['-C', tree, '--sort=name', '-czf', file, '.']);
  return file;
};

/** Waits until a stream has let go of everything, whether it failed or not. */
const closed = async (stream: Readable | Writable): Promise<void> => {
  if (!stream.closed) await new Promise(resolve => stream.once('close', resolve));
};

const programs = async (file: string, argv: readonly string[] = []): Promise<Buffer> =>
  (await cli(['-l', 'error', ...argv], { stdin: fs.createReadStream(file) })).stdout;

t.test('the blob is that of the program, byte for byte', async t => {
  const layer = layerIn(t);
  const out = path.join(path.dirname(layer), 'blob');
  const blob = rafs();
  const events: unknown[] = [];
  blob.on('result', result => events.push(result));
  await pipeline(fs.createReadStream(layer), blob, fs.createWriteStream(out));
  const result = await blob.result;
  t.same(events, [result], 'the event has what the promise has');
  const expected = await programs(layer);
  t.ok(fs.readFileSync(out).equals(expected));
  t.match(result, { blob: undefined, bootstrap: undefined, fsVersion: 6, compressor: 'zstd' });
  t.equal(result.bytesIn, fs.statSync(layer).size);
  t.equal(result.bytesOut, expected.length);
  t.equal(result.entryCount, 303);
  await succeed(t, ['check', '-l', 'error', out]);
});

t.test('options are those of the program, without their own threads too', async t => {
  const layer = layerIn(t);
  const given = await buffer(
    fs
      .createReadStream(layer)
      .pipe(rafs({ chunkSize: 0x10000, digester: 'sha256', compressor: 'lz4_block', workers: 0 })),
  );
  const argv = ['--chunk-size', '0x10000', '--digester', 'sha256', '--compressor', 'lz4_block'];
  t.ok(given.equals(await programs(layer, argv)));
});

t.test('any cut of what is written, a plain tar, and a slow reader: the same bytes', async t => {
  const layer = layerIn(t);
  const plain = gunzipSync(fs.readFileSync(layer));
  const expected = await programs(layer);
  for (const size of [511, 0x10001, plain.length]) {
    const cuts = function* () {
      for (let at = 0; at < plain.length; at += size) yield plain.subarray(at, at + size);
    };
    const got: Buffer[] = [];
    const slow = new Writable({
      highWaterMark: 1,
      write(bytes: Buffer, _encoding, done) {
        got.push(Buffer.from(bytes));
        setImmediate(done);
      },
    });
    await pipeline(Readable.from(cuts(), { objectMode: false }), rafs(), slow);
    t.ok(Buffer.concat(got).equals(expected), `pieces of ${size} bytes`);
  }
});

t.test('who is not read takes no more', async t => {
  const blob = rafs({ compressor: 'none' });
  const zeros = Buffer.alloc(0x10000, 7);
  blob.write(memberOf({ name: 'f', size: 0x40000000 }));
  // each piece is another chunk, so that nothing is dropped as known
  let written = 0;
  for (let quiet = 0; quiet < 20 && written < 0x10000000;) {
    if (blob.writableNeedDrain) {
      await sleep(20);
      quiet++;
      continue;
    }
    quiet = 0;
    zeros.writeUInt32LE(written, 0);
    blob.write(Buffer.from(zeros));
    written += zeros.length;
  }
  t.ok(written < 0x10000000, `the source is held back after ${written} bytes`);
  blob.destroy();
  await t.rejects(blob.result, { name: 'AbortError' });
  await closed(blob);
});

t.test('a source that is destroyed, a broken tar, an abort: an end, and nothing open', async t => {
  const layer = layerIn(t);
  const folder = path.dirname(layer);
  const opened: Readable[] = [];
  const open = (): Readable => {
    opened.push(fs.createReadStream(layer, { highWaterMark: 0x1000 }));
    return opened.at(-1)!;
  };
  const sink = (): Writable => new Writable({ write: (_b, _e, done) => done() });

  const source = open();
  source.once('data', () => setImmediate(() => source.destroy()));
  const cut = rafs();
  await t.rejects(pipeline(source, cut, sink()), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
  await t.rejects(cut.result);
  t.ok(cut.destroyed);

  const broken = rafs();
  const bytes = Buffer.alloc(0x2000, 'x');
  await t.rejects(pipeline(Readable.from([bytes]), broken, sink()), { code: 'CORRUPT' });
  await t.rejects(broken.result, { code: 'CORRUPT' });

  const stop = new AbortController();
  const stopped = rafs({ signal: stop.signal });
  const running = pipeline(open(), stopped, sink());
  await sleep(20);
  stop.abort();
  await t.rejects(running, { name: 'AbortError' });
  await t.rejects(stopped.result, { name: 'AbortError' });

  const before = AbortSignal.abort();
  await t.rejects(buffer(rafs({ signal: before })), { name: 'AbortError' });

  for (const one of [cut, broken, stopped, ...opened]) await closed(one);
  t.same(openBelow(folder), []);
});

t.test('options that are wrong destroy the stream with their sentence', async t => {
  const wrong = rafs({ chunkSize: 1000 });
  await t.rejects(buffer(wrong), { code: 'LIMIT', message: 'invalid chunk size: 1000' });
  const other = rafs({ compressor: 'lzma' as 'zstd' });
  await t.rejects(buffer(other), {
    code: 'USAGE',
    message: /^invalid compressor 'lzma', expected one of/,
  });
});

t.test('zran: the blob beside a gzip is that of the program', async t => {
  const layer = layerIn(t);
  const folder = path.dirname(layer);
  const tables = zran();
  const given = await buffer(fs.createReadStream(layer).pipe(tables));
  const out = path.join(folder, 'program');
  const argv = ['create', '-l', 'error', '-t', 'targz-ref', '--blob-inline-meta'];
  await succeed(t, [...argv, '--features', 'blob-toc', '--blob', out, layer]);
  t.ok(given.equals(fs.readFileSync(out)));
  const sha256 = execFileSync('sha256sum', [layer], { encoding: 'utf8' }).slice(0, 64);
  t.same((await tables.result).blobs, [sha256], 'the blob is the layer');
});

t.test('tarfs: the bootstrap is that of the program, and the tar goes beside', async t => {
  const layer = layerIn(t);
  const folder = path.dirname(layer);
  const tar = new PassThrough();
  const written = buffer(tar);
  const bootstrap = tarfs({ tar });
  const given = await buffer(fs.createReadStream(layer).pipe(bootstrap));
  t.ok((await written).equals(gunzipSync(fs.readFileSync(layer))));
  const out = path.join(folder, 'program');
  await succeed(t, ['create', '-l', 'error', '-t', 'tar-tarfs', '-B', out, '-D', folder, layer]);
  t.ok(given.equals(fs.readFileSync(out)));
  const { blobs } = await bootstrap.result;
  t.ok(fs.existsSync(path.join(folder, blobs[0]!)), 'the program names the tar alike');
});
