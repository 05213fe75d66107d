import fs from 'node:fs';
import t from 'tap';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { BlobFeature } from '../../../lib/layout/blob.js';
import { readerOf } from '../../../streams/io/reader-at.js';
import { readChunkInfo, requireChunkTable } from '../../../streams/read/chunk-info.js';
import { golden, goldenBlob } from '../../support/images/golden.js';

const [blob] = parseBootstrap(golden('tar-rafs.kinds.zstd.v6')).blobs;
const bytes = fs.readFileSync(goldenBlob('tar-rafs.kinds.zstd.v6'));

t.test('the table of a blob', async t => {
  await prepareCompressors();
  const table = await readChunkInfo(readerOf(bytes, 'blob'), blob!);
  t.equal(table.count, blob!.chunkCount);
  let end = 0;
  for (let i = 0; i < table.count; i++) {
    const chunk = table.chunk(i);
    t.ok(chunk.uncompressedOffset >= end, 'one behind the other');
    end = chunk.uncompressedOffset + chunk.uncompressedSize;
  }
  t.ok(end <= blob!.uncompressedSize);
});

t.test('a table that is not there, or not that of the blob', async t => {
  const at = { blob: blob!.id };
  const cut = readerOf(bytes.subarray(0, blob!.ciOffset + 5), 'blob');
  await t.rejects(readChunkInfo(cut, blob!), {
    code: 'CORRUPT',
    at: { ...at, section: 'blob.meta' },
  });
  const other = { ...blob!, chunkCount: blob!.chunkCount + 1 };
  await t.rejects(readChunkInfo(readerOf(bytes, 'blob'), other), { code: 'CORRUPT', at });
  const none = { ...blob!, ciOffset: 0, ciCompressedSize: 0, ciUncompressedSize: 0 };
  await t.rejects(readChunkInfo(readerOf(bytes, 'blob'), none), {
    code: 'CORRUPT',
    message: 'the blob has no CI table',
    at,
  });
});

t.test('blobs that cannot be read as a device', t => {
  requireChunkTable(blob!);
  const external = { ...blob!, features: blob!.features | BlobFeature.EXTERNAL };
  t.throws(() => requireChunkTable(external), { code: 'UNSUPPORTED', at: { blob: blob!.id } });
  t.end();
});
