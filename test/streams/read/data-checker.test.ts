import { createHash } from 'node:crypto';
import fs from 'node:fs';
import t from 'tap';
import { ChunkUses } from '../../../lib/bootstrap/chunk-uses.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { verify } from '../../../lib/bootstrap/verify.js';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { readerOf } from '../../../streams/io/reader-at.js';
import { blobChunks } from '../../../streams/read/blob-chunks.js';
import { BlobBlocks } from '../../../streams/read/blob-blocks.js';
import { contentPool } from '../../../streams/read/blob-reader.js';
import { ChunkReader } from '../../../streams/read/chunk-reader.js';
import { checkData, checkFileName } from '../../../streams/read/data-checker.js';
import { altered, failureOf, golden, goldenBlob } from '../../support/images/golden.js';

await Promise.all([prepareCompressors(), prepareDigests()]);

const BLOBS = [
  'tar-rafs.kinds.zstd.v6',
  'tar-rafs.kinds.lz4_block.v5',
  'toc.kinds.none',
  'batch.kinds.zstd',
  'encrypt.kinds.zstd',
  'encrypt.batch.kinds.lz4_block',
];

const check = async (name: string, bytes: Buffer, anyBlobId = false) => {
  const bootstrap = parseBootstrap(golden(name));
  const uses = new ChunkUses(bootstrap);
  for (const visit of verify(bootstrap, chunk => uses.add(chunk))) void visit;
  const doubts: string[] = [];
  const read = await checkData(
    { blob: bootstrap.blobs[0]!, source: readerOf(bytes, name) },
    {
      ...{ bootstrap, uses, anyBlobId, pool: contentPool(bootstrap) },
      doubt: why => void doubts.push(why),
    },
  );
  return { ...read, doubts };
};

t.test('good blobs, named by their digests or not', async t => {
  for (const name of BLOBS) {
    const bytes = fs.readFileSync(goldenBlob(name));
    for (const anyBlobId of [false, true]) {
      const read = await check(name, bytes, anyBlobId);
      t.match(read, { chunks: 11, bytes: 34851, doubts: [] }, name);
    }
  }
});

t.test('any bit of a blob that is named by its sha256', async t => {
  for (const name of BLOBS) {
    const bytes = fs.readFileSync(goldenBlob(name));
    for (let at = 0; at < bytes.length; at += 997) {
      const wrong = Buffer.from(bytes);
      wrong[at]! ^= 1 << (at % 8);
      const error = await failureOf(check(name, wrong));
      if (!error) t.fail(`${name}: a change at ${at} of ${bytes.length} is not seen`);
    }
    t.ok(await failureOf(check(name, Buffer.concat([bytes, Buffer.alloc(1)]))), 'a longer one');
    t.ok(await failureOf(check(name, bytes.subarray(0, -1))), 'a shorter one');
  }
});

t.test('altered blobs: a result or a RafsError, whatever they are named by', async t => {
  for (const name of BLOBS) {
    for (const wrong of altered(fs.readFileSync(goldenBlob(name)), 60)) {
      t.ok(await failureOf(check(name, wrong)), name);
      await failureOf(check(name, wrong, true));
    }
  }
});

t.test('chunks that no file uses', async t => {
  const name = 'toc.kinds.none';
  const bytes = fs.readFileSync(goldenBlob(name));
  const bootstrap = parseBootstrap(golden(name));
  // an image that uses no chunk of its blob
  const none = { ofBlob: () => [] } as unknown as ChunkUses;
  const read = await checkData(
    { blob: bootstrap.blobs[0]!, source: readerOf(bytes, name) },
    {
      ...{ bootstrap, uses: none, anyBlobId: true, pool: contentPool(bootstrap) },
      doubt: () => undefined,
    },
  );
  t.equal(read.chunks, 11);
});

t.test('a file and its name', async t => {
  const bytes = fs.readFileSync(goldenBlob('toc.kinds.none'));
  const { id } = parseBootstrap(golden('toc.kinds.none')).blobs[0]!;
  const whole = createHash('sha256').update(bytes).digest('hex');
  t.not(id, whole, 'the digests of chunks are not in the id');
  for (const name of [id, whole]) await checkFileName(readerOf(bytes, name), name, {});
  const error = await failureOf(checkFileName(readerOf(bytes, 'x'), '0'.repeat(64), { file: 'x' }));
  t.match(error, { code: 'MISMATCH', message: new RegExp(`${whole}, or without .* ${id}`) });
});

t.test('chunks come in the order in which they are stored', async t => {
  const name = 'batch.kinds.zstd';
  const bootstrap = parseBootstrap(golden(name));
  const bytes = fs.readFileSync(goldenBlob(name));
  const reader = new ChunkReader(bootstrap.blobs[0]!, readerOf(bytes, name), new BlobBlocks());
  const indexes: number[] = [];
  for await (const batch of blobChunks(reader, new ChunkUses(bootstrap).ofBlob(0))) {
    for (const { chunk } of batch as { chunk: { index: number } }[]) indexes.push(chunk.index);
  }
  t.same(
    indexes,
    Array.from({ length: 11 }, (_, i) => i),
  );
});
