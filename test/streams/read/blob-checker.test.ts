import fs from 'node:fs';
import t from 'tap';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { checkBlob, compareChunks } from '../../../streams/read/blob-checker.js';
import { readerOf } from '../../../streams/io/reader-at.js';
import { altered, failure, failureOf, golden, goldenBlob } from '../../support/images/golden.js';

await prepareCompressors();

const openCase = (name: string) => ({
  bootstrap: parseBootstrap(golden(name)),
  bytes: fs.readFileSync(goldenBlob(name)),
});

const check = (name: string, bytes: Buffer) =>
  checkBlob(readerOf(bytes, name), openCase(name).bootstrap.blobs[0]!);

t.test('good blobs, and what they say of their chunks', async t => {
  for (const name of ['tar-rafs.kinds.zstd.v6', 'toc.kinds.none', 'batch.kinds.zstd']) {
    const { bootstrap, bytes } = openCase(name);
    const checked = await check(name, bytes);
    t.equal(checked.table?.count, 11, name);
    t.equal(checked.digests?.length, name.startsWith('toc') ? 11 * 32 : undefined, name);
    compareChunks(bootstrap, new Map([[0, checked]]));
  }
});

t.test('a table that says something else than the bootstrap', async t => {
  const { bootstrap, bytes } = openCase('toc.kinds.none');
  const checked = await check('toc.kinds.none', bytes);
  const digests = Buffer.from(checked.digests!);
  digests[32 * 3]! ^= 1;
  const other = new Map([[0, { ...checked, digests }]]);
  t.match(
    failure(() => compareChunks(bootstrap, other)),
    {
      code: 'MISMATCH',
      message: /^the blob has digest/,
      at: { chunk: 3, path: /^\// },
    },
  );
  const table = { ...checked.table!, chunk: () => checked.table!.chunk(1) };
  const wrong = new Map([[0, { table }]]);
  t.match(
    failure(() => compareChunks(bootstrap, wrong)),
    { code: 'MISMATCH' },
  );
});

t.test('every byte of a blob with a TOC counts', async t => {
  const { bytes } = openCase('toc.kinds.none');
  // the header of blob.meta and that of blob.digest are in no digest
  const tocStart = bytes.length - 512 - 4 * 128;
  const unseen = [
    [bytes.length - 512 - 4 * 128 - 512, tocStart],
    [tocStart - 512 - 352 - 512, tocStart - 512 - 352],
  ] as const;
  let count = 0;
  for (let at = 0; at < bytes.length; at += 101) {
    if (unseen.some(([from, to]) => at >= from && at < to)) continue;
    const wrong = Buffer.from(bytes);
    wrong[at]! ^= 0x10;
    const error = await failureOf(check('toc.kinds.none', wrong));
    if (!error) t.fail(`a change at ${at} of ${bytes.length} is not seen`);
    count += 1;
  }
  t.ok(count > 300);
});

t.test('altered blobs: a result or a RafsError', async t => {
  for (const name of ['tar-rafs.kinds.zstd.v6', 'toc.kinds.none', 'batch.kinds.zstd']) {
    const { bootstrap, bytes } = openCase(name);
    let refused = 0;
    for (const wrong of altered(bytes, 200)) {
      const error = await failureOf(
        check(name, wrong).then(checked => compareChunks(bootstrap, new Map([[0, checked]]))),
      );
      if (error) refused += 1;
    }
    t.ok(refused >= 25, `${name}: ${refused} of 200`);
  }
});
