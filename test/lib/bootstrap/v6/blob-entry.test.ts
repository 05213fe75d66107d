import fc from 'fast-check';
import t from 'tap';
import { blobEntryOf, blobOfEntry } from '../../../../lib/bootstrap/v6/blob-entry.js';
import { BlobEntry } from '../../../../lib/layout/rafs-v6.js';
import { blobInfo } from '../../../support/images/chunks.js';
import { golden } from '../../../support/images/golden.js';
import { parseBootstrap } from '../../../../lib/bootstrap/parse.js';

const size = fc.integer({ min: 0, max: 2 ** 40 });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(bytes => Buffer.from(bytes));

t.test('a blob comes back from its entry', async () => {
  const sizes = fc.record({
    chunkCount: u32,
    compressedSize: size,
    uncompressedSize: size,
    ciOffset: size,
    ciCompressedSize: size,
    ciUncompressedSize: size,
    tocSize: u32,
    tocDigest: digest,
    metaDigest: digest,
    features: u32,
  });
  const cipher = fc.oneof(
    size.map(metaSize => ({ metaSize })),
    fc
      .uint8Array({ minLength: 16, maxLength: 16 })
      .map(iv => ({ metaSize: 0, cipherIv: Buffer.from(iv) })),
  );
  fc.assert(
    fc.property(sizes, cipher, u32, (more, secret, index) => {
      const blob = blobInfo({ ...more, ...secret });
      const entry = BlobEntry.decode(BlobEntry.encode(blobEntryOf(blob, index)));
      const back = blobOfEntry(entry);
      const text = (value: object): string =>
        JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
      return entry.blobIndex === index && text(back) === text(blob);
    }),
  );
});

t.test('key and IV of a blob that nydus-image encrypted lie where it has put them', async t => {
  const image = golden('encrypt.kinds.zstd');
  const { blobs, tables } = parseBootstrap(image);
  const at = tables.blob.offset;
  t.ok(blobs[0]!.metaDigest.equals(image.subarray(at + 168, at + 200)));
  t.ok(blobs[0]!.cipherIv!.equals(image.subarray(at + 200, at + 216)));
  const entry = BlobEntry.encode(blobEntryOf(blobs[0]!, 0));
  t.ok(entry.equals(image.subarray(at, at + 256)), 'written as it was read');
});
