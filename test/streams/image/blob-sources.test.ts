import t from 'tap';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { prepareDigests, digest } from '../../../lib/crypto/digest.js';
import { loadImage } from '../../../lib/image/load-image.js';
import { BlobSources } from '../../../streams/image/blob-sources.js';
import { readImage } from '../../../streams/image/read-image.js';
import { goldenFolder, goldenPath } from '../../support/images/golden.js';
import { openBelow } from '../../support/process/fs.js';

t.test('chunks come as they are stored and as they were, with their digests', async t => {
  await Promise.all([prepareCompressors(), prepareDigests()]);
  const folder = goldenFolder('tar-rafs.kinds.zstd.v6');
  const from = await readImage(goldenPath('tar-rafs.kinds.zstd.v6'));
  const image = loadImage(from.bootstrap);
  const blobs = image.blobs.finish(undefined);
  const sources = new BlobSources(image, blobs, { blobDir: folder }, from);
  const { chunks } = image;
  t.ok(chunks.count > 3);
  for (let row = 0; row < chunks.count; row++) {
    const { bytes: stored } = await sources.stored(row);
    t.equal(stored.length, chunks.compressedSize.get(row));
    const { bytes } = await sources.unpacked(row);
    t.ok(digest('blake3', bytes).equals(chunks.digest(row)), `chunk ${row}`);
  }
  t.equal(await sources.sizeOf(0), blobs[0]!.compressedSize);
  await sources.close();
  t.same(openBelow(folder), []);
});

t.test('a blob that is not there fails whoever wants a chunk of it', async t => {
  const from = await readImage(goldenPath('tar-rafs.kinds.zstd.v6'));
  const image = loadImage(from.bootstrap);
  const place = { blobDir: t.testdir({}) };
  const sources = new BlobSources(image, image.blobs.finish(undefined), place, from);
  await t.rejects(sources.stored(0), { code: 'ENOENT' });
  await sources.close();
});
