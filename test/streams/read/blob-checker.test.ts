import fs from 'node:fs';
import t from 'tap';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { ChunkUses } from '../../../lib/bootstrap/chunk-uses.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { checkBlob, compareChunk, type CheckedBlob } from '../../../streams/read/blob-checker.js';
import { readerOf } from '../../../streams/io/reader-at.js';
import { altered, failure, failureOf, golden, goldenBlob } from '../../support/images/golden.js';

await prepareCompressors();

const openCase = (name: string) => ({
  bootstrap: parseBootstrap(golden(name)),
  bytes: fs.readFileSync(goldenBlob(name)),
});

const compareChunks = (bootstrap: Bootstrap, checked: CheckedBlob): void => {
  for (const chunk of new ChunkUses(bootstrap).ofBlob(0)) compareChunk(bootstrap, chunk, checked);
};

const check = (name: string, bytes: Buffer) =>
  checkBlob(readerOf(bytes, name), openCase(name).bootstrap.blobs[0]!);

t.test('good blobs, and what they say of their chunks', async t => {
  for (const name of ['tar-rafs.kinds.zstd.v6', 'toc.kinds.none', 'batch.kinds.zstd']) {
    const { bootstrap, bytes } = openCase(name);
    const checked = await check(name, bytes);
    t.equal(checked.table?.count, 11, name);
    t.equal(checked.digests?.length, name.startsWith('toc') ? 11 * 32 : undefined, name);
    compareChunks(bootstrap, checked);
  }
});

t.test('a table that says something else than the bootstrap', async t => {
  const { bootstrap, bytes } = openCase('toc.kinds.none');
  const checked = await check('toc.kinds.none', bytes);
  const digests = Buffer.from(checked.digests!);
  digests[32 * 3]! ^= 1;
  const other = { ...checked, digests };
  t.match(
    failure(() => compareChunks(bootstrap, other)),
    {
      code: 'MISMATCH',
      message: /^the blob has digest/,
      at: { chunk: 3 },
    },
  );
  const table = { ...checked.table!, chunk: () => checked.table!.chunk(1) };
  const wrong = { table };
  t.match(
    failure(() => compareChunks(bootstrap, wrong)),
    { code: 'MISMATCH' },
  );
});

t.test('headers of sections, and what a TOC must list', async t => {
  const { bytes } = openCase('toc.kinds.none');
  const toc = bytes.length - 512 - 4 * 128;
  // the headers of blob.meta and of blob.digest are in no digest
  for (const header of [toc - 512, toc - 512 - 352 - 512]) {
    for (let at = header; at < header + 512; at += 13) {
      const wrong = Buffer.from(bytes);
      wrong[at]! ^= 0x10;
      t.match(await failureOf(check('toc.kinds.none', wrong)), { code: 'CORRUPT' }, `${at}`);
    }
  }
});

t.test('altered blobs: a result or a RafsError', async t => {
  for (const name of ['tar-rafs.kinds.zstd.v6', 'toc.kinds.none', 'batch.kinds.zstd']) {
    const { bootstrap, bytes } = openCase(name);
    let refused = 0;
    for (const wrong of altered(bytes, 200)) {
      const error = await failureOf(
        check(name, wrong).then(checked => compareChunks(bootstrap, checked)),
      );
      if (error) refused += 1;
    }
    t.ok(refused >= 25, `${name}: ${refused} of 200`);
  }
});
