import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { unpack } from '../../../bin/commands/unpack.js';
import { recordedIo } from '../../support/process/command-io.js';
import { makeFifo, openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { failureOf, goldenBlob, goldenFolder, goldenPath } from '../../support/images/golden.js';

const KINDS = 'tar-rafs.kinds.zstd.v6';

t.test('GNU tar reads the tree', async t => {
  const output = path.join(temporaryDirectory(t), 'out.tar');
  await unpack({ bootstrap: goldenPath(KINDS), blob: goldenBlob(KINDS), output }, recordedIo());
  const list = execFileSync('tar', ['--numeric-owner', '-tvf', output]).toString().split('\n');
  t.equal(list.length - 1, 28);
  const line = (name: string): string => list.find(text => text.includes(` ${name}`)) ?? '';
  t.match(line('bin ->'), /^lrwxrwxrwx .* bin -> usr\/bin$/);
  t.match(line('dev/null'), /^crw-rw-rw- +0\/0 +1,3 /);
  t.match(line('dev/pipe'), /^prw/);
  t.match(line('usr/bin/tool'), /^h.* usr\/bin\/tool link to \/?usr\/bin\/hard$/);
  t.match(line('etc/passwd'), /^-rw-r--r-- +0\/0 +26 /);
  const passwd = execFileSync('tar', ['-xOf', output, 'etc/passwd']).toString();
  t.match(passwd, /^root:/);
});

t.test('the same tar, whatever the image is stored as', async t => {
  const directory = temporaryDirectory(t);
  const run = async (name: string, options: Record<string, string>): Promise<Buffer> => {
    const output = path.join(directory, name);
    await unpack({ bootstrap: goldenPath(name), output, ...options }, recordedIo());
    return fs.readFileSync(output);
  };
  const plain = await run('toc.kinds.none', { blobDir: goldenFolder('toc.kinds.none') });
  t.equal(plain.length % 512, 0);
  const zstd = await run(KINDS, { blob: goldenBlob(KINDS) });
  const batch = await run('batch.kinds.zstd', { blobDir: goldenFolder('batch.kinds.zstd') });
  const bootstrap = goldenPath('inline.kinds.zstd', 'blob');
  const inline = await run('inline.kinds.zstd', { bootstrap });
  t.ok(zstd.equals(plain), 'compressed');
  t.ok(batch.equals(plain), 'in batches');
  t.ok(inline.equals(plain), 'out of one file');
  t.strictSame(openBelow(directory), []);
});

t.test('through a FIFO as into a file', async t => {
  const directory = temporaryDirectory(t);
  const fifo = path.join(directory, 'fifo');
  const file = path.join(directory, 'file');
  makeFifo(fifo);
  const options = { bootstrap: goldenPath(KINDS), blob: goldenBlob(KINDS) };
  const reading = fs.promises.readFile(fifo);
  await unpack({ ...options, output: fifo }, recordedIo());
  await unpack({ ...options, output: file }, recordedIo());
  t.ok((await reading).equals(fs.readFileSync(file)));
});

t.test('a failure leaves no file, and ends a FIFO', async t => {
  const directory = temporaryDirectory(t);
  const blob = path.join(directory, 'blob');
  const output = path.join(directory, 'out.tar');
  const wrong = fs.readFileSync(goldenBlob(KINDS));
  wrong[20]! ^= 1;
  fs.writeFileSync(blob, wrong);
  const options = { bootstrap: goldenPath(KINDS), blob };
  const error = await failureOf(unpack({ ...options, output }, recordedIo()));
  t.match(error, { code: 'MISMATCH', at: { path: '/etc/passwd', chunk: 0 } });
  t.strictSame(fs.readdirSync(directory), ['blob']);

  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  const reading = fs.promises.readFile(fifo);
  const bootstrap = path.join(directory, 'none');
  await t.rejects(unpack({ bootstrap, blob, output: fifo }, recordedIo()), { code: 'ENOENT' });
  t.equal((await reading).length, 0, 'the reader sees the end');
  t.strictSame(openBelow(directory), []);
});

t.test('what it needs', async t => {
  const output = path.join(temporaryDirectory(t), 'out.tar');
  const run = (options: { bootstrap: string; output: string; blobDir?: string }) =>
    failureOf(unpack(options, recordedIo()));
  const bootstrap = goldenPath(KINDS);
  t.match(await run({ bootstrap, output }), { message: /--blob, --blob-dir or --backend-type/ });
  t.match(await run({ bootstrap, output: '' }), { message: 'invalid empty --output option' });
  // the blob meta of a gzip layer is not the layer
  const gzip = { bootstrap: goldenPath('zran.kinds'), output };
  t.match(await failureOf(unpack({ ...gzip, blob: goldenBlob('zran.kinds') }, recordedIo())), {
    code: 'CORRUPT',
  });
  t.notOk(fs.existsSync(output));
});
