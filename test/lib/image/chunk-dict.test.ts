import fc from 'fast-check';
import t from 'tap';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import type { StoredChunk } from '../../../lib/model/stored.js';
import { ChunkDict, chunkDictPath, loadChunkDict } from '../../../lib/image/chunk-dict.js';
import { RafsError } from '../../../lib/errors.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { blobInfo, placedChunk } from '../../support/images/chunks.js';
import { altered, failure, golden } from '../../support/images/golden.js';

const stored = (n: number, more: Partial<StoredChunk> = {}): StoredChunk => ({
  ...placedChunk(n),
  encrypted: false,
  ...more,
});

t.test('the first chunk of a digest counts, and its size has to be equal', async () => {
  const chunk = fc.record({ n: fc.nat(20), size: fc.constantFrom(1, 2, 4096), blob: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 100 }), chunks => {
      const dict = new ChunkDict(Array.from({ length: 4 }, () => blobInfo()));
      const model = new Map<number, { size: number; blob: number; index: number }>();
      for (const [index, { n, size, blob }] of chunks.entries()) {
        dict.add(stored(n, { uncompressedSize: size, blobIndex: blob, index }));
        if (!model.has(n)) model.set(n, { size, blob, index });
      }
      if (dict.count !== model.size) return false;
      for (let n = 0; n <= 20; n++) {
        for (const size of [1, 2, 4096]) {
          const row = dict.find(placedChunk(n).digest, size);
          const due = model.get(n);
          if (due?.size !== size) {
            if (row !== -1) return false;
          } else if (
            dict.chunks.index.get(row) !== due.index ||
            dict.chunks.blobIndex.get(row) !== due.blob
          ) {
            return false;
          }
        }
      }
      return true;
    }),
  );
});

/** Digests of all chunks that files refer to. */
const digestsOf = (bootstrap: Bootstrap): Set<string> => {
  const digests = new Set<string>();
  for (const chunk of bootstrap.chunkRecords?.() ?? []) digests.add(chunk.digest.toString('hex'));
  return digests;
};

t.test('all chunks of an image, by its own digest algorithm alone', async t => {
  const image = parseBootstrap(golden('layer.layer-0.v6'));
  const dict = loadChunkDict(image, 'blake3');
  t.ok(dict.count >= 20);
  t.equal(dict.count, digestsOf(image).size);
  for (const chunk of image.chunkRecords!()) {
    const row = dict.find(chunk.digest, chunk.uncompressedSize);
    t.equal(dict.chunks.compressedOffset.get(row), chunk.compressedOffset);
  }
  t.equal(loadChunkDict(image, 'sha256').count, 0, 'silently none');
  t.same(
    dict.blobs.map(({ id }) => id),
    image.blobs.map(({ id }) => id),
  );
});

t.test('images without a table, or with digests in their blobs, are walked', async t => {
  for (const name of ['merge.v5', 'toc.kinds.none']) {
    const image = parseBootstrap(golden(name));
    t.ok(loadChunkDict(image, 'blake3').count > 3, name);
    t.equal(loadChunkDict(image, 'sha256').count, 0, name);
  }
});

t.test('chunks that no writer could refer to are CORRUPT', async t => {
  const image = parseBootstrap(golden('layer.layer-0.v6'));
  const [chunk] = image.chunkRecords!();
  for (const wrong of [{ uncompressedOffset: 1 }, { index: 0xffffff }]) {
    const bad = Object.assign(Object.create(image) as Bootstrap, {
      flags: image.flags,
      digester: image.digester,
      blobs: image.blobs,
      version: 6,
      blockSize: 4096,
      chunkRecords: () => [{ ...chunk!, ...wrong }],
    });
    t.throws(() => loadChunkDict(bad, 'blake3'), { code: 'CORRUPT' });
  }
});

t.test('an altered image ends in a dictionary or a RafsError', async t => {
  let failed = 0;
  for (const bytes of altered(golden('layer.layer-0.v6'), 300)) {
    if (failure(() => loadChunkDict(parseBootstrap(bytes), 'blake3'))) failed++;
  }
  t.ok(failed > 30 && failed < 300, `${failed} of 300 failed`);
});

t.test('what --chunk-dict may be given', async t => {
  t.equal(chunkDictPath('a/b'), 'a/b');
  t.equal(chunkDictPath('bootstrap=a=b'), 'a=b');
  t.throws(
    () => chunkDictPath('boltdb=x'),
    new RafsError('UNSUPPORTED', 'invalid chunk dict type boltdb'),
  );
});
