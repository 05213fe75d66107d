import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { check } from '../../../bin/commands/check.js';
import { checkImage } from '../../../streams/image/check-image.js';
import { cli, hasFailed } from '../../support/process/cli.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { recordedIo } from '../../support/process/command-io.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';
import {
  expected,
  failureOf,
  golden,
  goldenBlob,
  goldenFolder,
  goldenPath,
} from '../../support/images/golden.js';

t.test('says what nydus-image says', async t => {
  const cases = expected().filter(({ argv }) => argv[0] === 'check');
  t.ok(cases.length >= 8);
  for (const { id, case: name, argv, stdout, json } of cases) {
    const io = recordedIo();
    const result = await check({ bootstrap: goldenPath(name), verbose: argv.includes('-v') }, io);
    t.equal(io.text, stdout, id);
    if (json) {
      t.strictSame(
        [result.blobs, String(result.fsVersion), result.compressor],
        [json.blobs, json.fs_version, json.compressor],
        id,
      );
    }
    t.strictSame([io.logged.warn, io.logged.error], [[], []], id);
  }
});

t.test('reads the blobs that are at hand', async t => {
  for (const [name, chunks] of [
    ['tar-rafs.kinds.zstd.v6', 11],
    ['toc.kinds.none', 11],
    ['batch.kinds.zstd', 11],
  ] as const) {
    const io = recordedIo();
    await check({ bootstrap: goldenPath(name), blobDir: goldenFolder(name) }, io);
    t.match(io.logged.info.at(-1), new RegExp(`^verified ${chunks} chunks, .* in 1 blobs$`), name);
  }
  const io = recordedIo();
  await check({ bootstrap: goldenPath('inline.kinds.zstd', 'blob') }, io);
  t.match(io.logged.info.at(-1), /^verified 11 chunks/);
  t.match(io.text, /\t 0: blob, compressed size/);
});

t.test('blobs that are asked for must be there', async t => {
  const zran = goldenFolder('zran.kinds'); // the blob meta is there, the layer is not
  for (const bootstrap of [path.join(zran, 'boot'), goldenPath('merge.v6')]) {
    await t.rejects(check({ bootstrap, blobDir: zran }, recordedIo()), { code: 'ENOENT' });
  }
  const ran = await cli(['check', '-D', zran, goldenPath('merge.v6')]);
  hasFailed(t, { ...ran, stderr: ran.stderr.replace(/^\[.*\n/, '') }, 'no blobs', 1, /ENOENT/);
  t.equal(ran.stdout.length, 0);
});

t.test('says which blobs are not read', async t => {
  const gzip = recordedIo();
  const zran = goldenFolder('zran.kinds');
  const partial = true;
  await checkImage(path.join(zran, 'boot'), { blobs: zran, partial, log: gzip.log });
  t.match(
    gzip.logged.info.join('\n'),
    /^data of blob \w+ are not verified: there is no such file$/m,
  );
  const missing = recordedIo();
  await checkImage(goldenPath('merge.v6'), { blobs: zran, partial, log: missing.log });
  t.equal(missing.logged.info.filter(line => line.endsWith('no such file')).length, 3);
});

t.test('a changed chunk is named', async t => {
  const blobDir = temporaryDirectory(t);
  const name = 'tar-rafs.kinds.zstd.v6';
  const blob = fs.readFileSync(goldenBlob(name));
  const [record] = parseBootstrap(golden(name)).blobs;
  const file = path.join(blobDir, record!.id);
  const io = recordedIo();
  const run = () => check({ bootstrap: goldenPath(name), blobDir }, io);

  for (const at of [0, 30, 20100, 23176]) {
    const wrong = Buffer.from(blob);
    wrong[at]! ^= 1;
    fs.writeFileSync(file, wrong);
    const error = await failureOf(run());
    t.ok(error?.code === 'MISMATCH' || error?.code === 'CORRUPT', `a change at ${at}`);
    const place = { path: /^\//, blob: record!.id, chunk: Number, offset: Number };
    t.match(error?.at, place, `a change at ${at}`);
  }
  fs.writeFileSync(file, blob.subarray(0, 25000));
  t.equal((await failureOf(run()))?.code, 'CORRUPT', 'a blob that is cut');
  fs.writeFileSync(file, blob);
  t.equal(await failureOf(run()), undefined, 'the blob as it was');
  t.equal(
    io.text,
    `${io.text.split('\n').slice(0, 2).join('\n')}\n`,
    'only good images are printed',
  );
  t.strictSame(openBelow(blobDir), []);
});

t.test('every byte of an inlined bootstrap counts', async t => {
  const file = path.join(temporaryDirectory(t), 'blob');
  const blob = golden('inline.kinds.zstd', 'blob');
  let refused = 0;
  let tried = 0;
  for (let at = 0; at < blob.length; at += 499) {
    const wrong = Buffer.from(blob);
    wrong[at]! ^= 0x20;
    fs.writeFileSync(file, wrong);
    tried += 1;
    if (await failureOf(check({ bootstrap: file }, recordedIo()))) refused += 1;
  }
  // what is left are the headers behind sections, each of 512 bytes, of which the TOC covers one
  t.ok(tried - refused <= 5, `${refused} of ${tried} are refused`);
});

t.test('a configuration turns reading on', async t => {
  const config = path.join(temporaryDirectory(t), 'config.json');
  const name = 'tar-rafs.kinds.zstd.v6';
  const run = async (validate: boolean, blobsAccessible = true) => {
    const backend = { type: 'localfs', localfs: { dir: goldenFolder(name) } };
    fs.writeFileSync(config, JSON.stringify({ version: 2, backend, rafs: { validate } }));
    const io = recordedIo();
    await check({ bootstrap: goldenPath(name), config, blobsAccessible }, io);
    return io.logged.info.some(line => line.startsWith('verified'));
  };
  t.equal(await run(true), true);
  t.equal(await run(false), false);
  t.equal(await run(true, false), false);
});

t.test('--strict takes what is missing or not proven for an error', async t => {
  const name = 'toc.kinds.none';
  const boot = fs.readFileSync(goldenPath(name));
  const blobDir = temporaryDirectory(t);
  const digest = createHash('sha256').update(boot).digest('hex');
  fs.writeFileSync(path.join(blobDir, digest), boot);
  const strict = (options: object, bootstrap = path.join(blobDir, digest)) =>
    failureOf(check({ bootstrap, strict: true, ...options }, recordedIo()));

  t.match(await strict({}), { code: 'MISMATCH', message: /nobody said where it is/ });
  await t.rejects(strict({ blobDir }), { code: 'ENOENT' });
  fs.copyFileSync(goldenBlob(name), path.join(blobDir, path.basename(goldenBlob(name))));
  t.equal(await strict({ blobDir }), undefined, 'both files are named by their digests');
  const other = goldenPath(name);
  const unnamed = await strict({ blobDir }, other);
  t.match(unnamed?.message, /^names, owners and times are not proven/);
  t.equal(await strict({ blobDir, sha256: digest }, other), undefined);
  const wrong = await strict({ blobDir, sha256: '0'.repeat(64) }, other);
  t.match(wrong, { code: 'MISMATCH', at: { file: other } });
  const bad = await failureOf(check({ bootstrap: other, sha256: 'abc' }, recordedIo()));
  t.match(bad, { code: 'USAGE' });
});

t.test('files named by 64 hex digits are compared with their sha256', async t => {
  const name = 'tar-rafs.kinds.zstd.v6';
  const blobDir = temporaryDirectory(t);
  const boot = fs.readFileSync(goldenPath(name));
  const { id } = parseBootstrap(boot).blobs[0]!;
  const run = (file: string, options = {}) => {
    const bootstrap = path.join(blobDir, file);
    return failureOf(check({ bootstrap, ...options }, recordedIo()));
  };

  const damaged = Buffer.from(boot);
  damaged[1024 + 48]! ^= 1; // the uuid, which means nothing
  const digest = createHash('sha256').update(boot).digest('hex');
  fs.writeFileSync(path.join(blobDir, digest), damaged);
  t.match(await run(digest), { code: 'MISMATCH', at: { file: path.join(blobDir, digest) } });
  fs.writeFileSync(path.join(blobDir, 'boot'), damaged);
  t.equal(await run('boot'), undefined);
  fs.writeFileSync(path.join(blobDir, id), boot);
  t.equal(await run(id), undefined, 'a bootstrap may be named like its blob');

  // as --blob-id may give it: 64 hex digits that are no sha256
  const given = 'ab'.repeat(32);
  const named = Buffer.from(boot.toString('latin1').replaceAll(id, given), 'latin1');
  fs.writeFileSync(path.join(blobDir, 'boot'), named);
  fs.copyFileSync(goldenBlob(name), path.join(blobDir, given));
  t.match(await run('boot', { blobDir }), {
    ...{ code: 'MISMATCH', at: { blob: given } },
    message: `expected sha256 ${given}, got ${id}`,
  });
  t.equal(await run('boot', { blobDir, anyBlobId: true }), undefined);
});

t.test('a blob with an inlined bootstrap is named by its sha256, or says so', async t => {
  const blobDir = temporaryDirectory(t);
  for (const name of ['inline.kinds.zstd', 'inline.kinds.v5']) {
    const bytes = fs.readFileSync(goldenPath(name, 'blob'));
    const digest = createHash('sha256').update(bytes).digest('hex');
    const file = path.join(blobDir, digest);
    const run = (strict = false) => failureOf(check({ bootstrap: file, strict }, recordedIo()));
    fs.writeFileSync(file, bytes);
    t.equal(await run(true), undefined, name);
    bytes[bytes.length - 520]! ^= 0x40;
    fs.writeFileSync(file, bytes);
    t.ok(await run(), name);
    const io = recordedIo();
    await check({ bootstrap: goldenPath(name, 'blob') }, io);
    t.match(io.logged.info.join('\n'), /only chunks and tables are verified/, name);
  }
});
