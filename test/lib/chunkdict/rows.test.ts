import fc from 'fast-check';
import t from 'tap';
import { ChunkRows, Names } from '../../../lib/chunkdict/rows.js';
import { chunkRow, digestOf, rowsOf } from '../../support/images/chunkdict.js';

t.test('names have the number of their first time', async t => {
  const names = new Names();
  t.same(
    ['b', 'a', 'b', '', 'a'].map(name => names.numberOf(name)),
    [0, 1, 0, 2, 1],
  );
  t.same(names.list, ['b', 'a', '']);
});

t.test('every value comes back', async t => {
  const big = 2 ** 40 + 5;
  const rows = rowsOf([
    chunkRow({ content: 1, index: 0, flags: 0 }),
    chunkRow({
      ...{ image: 'other', version: 'v2', blobId: 'x', content: 2, crc32: 0xffffffff },
      ...{ compressedSize: 0, uncompressedSize: 0x1000000 },
      ...{ compressedOffset: big, uncompressedOffset: big - 1, index: 7, flags: 0x15 },
    }),
    chunkRow({ content: 1 }),
  ]);
  t.equal(rows.count, 3);
  t.same(rows.images.list, ['app', 'other']);
  t.same(rows.versions.list, ['v1', 'v2']);
  t.same(rows.blobs.list, ['b'.repeat(64), 'x']);
  const { image, version, blob, digest, crc32, index, flags } = rows;
  const columns = [image, version, blob, digest, crc32, index, flags];
  t.same(
    [0, 1, 2].map(row => columns.map(column => column.get(row))),
    [
      [0, 0, 0, 0, 1, 1, 1],
      [1, 1, 1, 1, 0xffffffff, 8, 0x16],
      [0, 0, 0, 0, 1, 0, 0],
    ],
  );
  t.same([rows.compressedSize.get(1), rows.uncompressedSize.get(1)], [0, 0x1000000]);
  t.same([rows.compressedOffset.get(1), rows.uncompressedOffset.get(1)], [big, big - 1]);
  t.ok(rows.digestOf(1).equals(digestOf(2)));
});

t.test('digests are equal where their numbers are', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(300), { maxLength: 3000, size: 'max' }), contents => {
      const rows = new ChunkRows();
      for (const content of contents) rows.add(chunkRow({ content }));
      if (rows.digestCount !== new Set(contents).size) return false;
      return contents.every((content, row) =>
        rows.digestOf(rows.digest.get(row)).equals(digestOf(content)),
      );
    }),
    { numRuns: 20 },
  );
});
