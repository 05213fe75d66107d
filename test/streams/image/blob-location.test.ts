import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import {
  backendLocation,
  openBlob,
  openTables,
  readConfig,
  readDocument,
  storagePlace,
} from '../../../streams/image/blob-location.js';
import { readImage } from '../../../streams/image/read-image.js';
import { parseBackend } from '../../../lib/config/backends.js';
import { readerOf } from '../../../streams/io/reader-at.js';
import type { Storage } from '../../../streams/storage/storage.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { failureOf, goldenFolder, goldenPath } from '../../support/images/golden.js';

/** Notes what it is asked for. */
const recordingStorage = (): Storage & { asked: string[] } => {
  const asked: string[] = [];
  return {
    asked,
    async open(id) {
      asked.push(id);
      return readerOf(Buffer.from(id), id);
    },
  };
};

t.test('blobs are found by id, and only in their directory', async t => {
  const blobDir = goldenFolder('tar-rafs.kinds.zstd.v6');
  const { bootstrap } = await readImage(path.join(blobDir, 'boot'));
  const blob = bootstrap.blobs[0]!;
  const source = await openBlob(blob, { blobDir });
  t.equal(source.size, blob.compressedSize);
  await source.close();
  const storage = recordingStorage();
  for (const id of ['../boot', '..', '', 'a/b', 'a\0']) {
    t.match(await failureOf(openBlob({ ...blob, id }, { blobDir })), { code: 'CORRUPT' }, id);
    t.match(await failureOf(openBlob({ ...blob, id }, { storage })), { code: 'CORRUPT' }, id);
  }
  t.strictSame(storage.asked, []);
  const missing = openBlob({ ...blob, id: 'none' }, { blobDir });
  await t.rejects(missing, { code: 'ENOENT' });
  await openBlob(blob, { storage });
  t.strictSame(storage.asked, [blob.id]);
});

t.test('tables of a layer have a name of their own', async t => {
  const image = await readImage(goldenPath('zran.kinds'));
  const blob = image.bootstrap.blobs[0]!;
  const storage = recordingStorage();
  const digest = Buffer.alloc(32, 0xab);
  await openTables({ ...blob, metaDigest: digest }, { storage }, image);
  t.strictSame(storage.asked, ['ab'.repeat(32)]);
  const nameless = { ...blob, metaDigest: Buffer.alloc(32) };
  delete nameless.metaFile;
  t.match(await failureOf(openTables(nameless, { storage }, image)), { code: 'UNSUPPORTED' });
});

t.test('files and directories need no storage', async t => {
  const at = (config: object) => storagePlace(parseBackend('localfs', config));
  t.strictSame(await at({ dir: '/blobs' }), { blobDir: '/blobs' });
  t.strictSame(await at({ blob_file: '/blob', dir: '/blobs' }), { blobFile: '/blob' });
  t.ok((await at({ dir: '/blobs', alt_dirs: ['/more'] })).storage);
});

t.test('configuration files', async t => {
  const file = path.join(temporaryDirectory(t), 'config');
  const read = async (config: unknown) => {
    fs.writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
    return readConfig(file);
  };
  t.strictSame(await read({ version: 2 }), { validate: false });
  t.strictSame(
    await read({
      version: 2,
      backend: { type: 'localfs', localfs: { dir: '/blobs' } },
      cache: { validate: true },
    }),
    { validate: true, blobDir: '/blobs' },
  );
  t.strictSame(
    await read({
      device: { backend: { type: 'localfs', config: { blob_file: '/blob' } } },
      digest_validate: true,
    }),
    { validate: true, blobFile: '/blob' },
  );
  t.strictSame(await read('version = 2'), { validate: false });
  t.strictSame(
    await read(`
      version = 2
      [backend]
      type = "localfs"
      [backend.localfs]
      dir = "/blobs"
      [cache]
      validate = true
    `),
    { validate: true, blobDir: '/blobs' },
  );
  const s3 = await read(`
    version = 2
    [backend]
    type = "s3"
    [backend.s3]
    endpoint = "localhost:9000"
    region = "eu-1"
    bucket_name = "layers"
    timeout = 10
    ca_cert_files = []
  `);
  t.ok(s3.storage);
  const wrong = { code: 'UNSUPPORTED', at: { file } };
  const oss = read({ version: 2, backend: { type: 'oss', oss: {} } });
  t.match(await failureOf(oss), { ...wrong, message: /missing field `endpoint`/ });
  t.match(await failureOf(read({})), { ...wrong, message: /failed to parse configuration/ });
  const text = await failureOf(read('access_key_secret = very-secret'));
  t.match(text, { ...wrong, message: /neither JSON nor TOML/ });
  t.notMatch(`${text?.message} ${String(text?.cause)}`, /very-secret/);
  t.match(await failureOf(read(' '.repeat(0x10_0001))), { code: 'LIMIT', at: { file } });
  t.strictSame(await readDocument(file).catch(() => 'refused'), 'refused');
});

t.test('options', async t => {
  const file = path.join(temporaryDirectory(t), 'config');
  t.equal(await backendLocation({}), undefined);
  t.equal(await backendLocation({ 'backend-config': 'x' }), undefined, 'no type, no storage');
  const given = { 'backend-type': 'http-proxy', 'backend-config': '{"addr":"/socket"}' };
  t.ok((await backendLocation(given))?.storage);
  fs.writeFileSync(file, '{"addr":"http://localhost"}');
  const inFile = { 'backend-type': 'http-proxy', 'backend-config-file': file };
  t.ok((await backendLocation(inFile))?.storage);
  for (const [values, due] of [
    [{ 'backend-type': 's3' }, /^--backend-config or --backend-config-file must be specified$/],
    [{ 'backend-type': 'x', 'backend-config': '{}' }, /unsupported backend type 'x'/],
    [{ 'backend-type': 's3', 'backend-config': '{}' }, /missing field `endpoint`/],
    [{ 'backend-type': 's3', 'backend-config': '{"secret' }, /is not valid JSON$/],
  ] as const) {
    t.match(await failureOf(backendLocation(values)), { code: 'UNSUPPORTED', message: due });
  }
  const none = { 'backend-type': 's3', 'backend-config-file': `${file}.none` };
  await t.rejects(backendLocation(none), {
    message: `fail to read backend config file "${file}.none"`,
    cause: { code: 'ENOENT' },
  });
});
