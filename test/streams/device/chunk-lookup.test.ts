import t from 'tap';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { ChunkLookup } from '../../../streams/device/chunk-lookup.js';
import { ChunkReader } from '../../../streams/read/chunk-reader.js';
import { BlobBlocks } from '../../../streams/read/blob-blocks.js';
import { openReaderAt } from '../../../streams/io/reader-at.js';
import { readChunkInfo } from '../../../streams/read/chunk-info.js';
import { golden, goldenBlob } from '../../support/images/golden.js';

t.test('chunks of a blob are found with the digests of the bootstrap, and verified', async t => {
  await Promise.all([prepareCompressors(), prepareDigests()]);
  const image = golden('tar-rafs.kinds.zstd.v6');
  const bootstrap = parseBootstrap(image);
  const [blob] = bootstrap.blobs;
  const source = await openReaderAt(goldenBlob('tar-rafs.kinds.zstd.v6'));
  t.teardown(() => source.close());
  const table = await readChunkInfo(source, blob!);
  const due = new Map<number, string>();
  for (const { inode } of walk(bootstrap)) {
    if (inode.type !== 'file') continue;
    for (const { index, digest } of bootstrap.chunks(inode)) due.set(index, digest.toString('hex'));
  }
  const lookup = new ChunkLookup(image, bootstrap);
  const reader = new ChunkReader(blob!, source, new BlobBlocks());
  for (let index = 0; index < table.count; index++) {
    const chunk = lookup.chunk(0, index, table.chunk(index));
    t.equal(chunk.digest.toString('hex'), due.get(index), `chunk ${index}`);
    const bytes = await reader.read(chunk);
    lookup.verify(blob!.digester, chunk, bytes);
    const wrong = Buffer.from(bytes);
    wrong[0]! ^= 1;
    t.throws(() => lookup.verify(blob!.digester, chunk, wrong), { code: 'MISMATCH' });
  }
  const info = table.chunk(0);
  t.throws(() => lookup.chunk(0, 0, { ...info, uncompressedSize: info.uncompressedSize + 1 }), {
    code: 'MISMATCH',
  });
});
