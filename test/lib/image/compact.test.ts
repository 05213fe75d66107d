import t from 'tap';
import type { StoredChunk } from '../../../lib/model/stored.js';
import { ChunkTable } from '../../../lib/chunk/chunk-table.js';
import { isCopyable, planCompaction, type CompactOptions } from '../../../lib/image/compact.js';
import { BlobFeature } from '../../../lib/layout/blob.js';
import type { BlobInfo } from '../../../lib/model/blob.js';

const blob = (id: string, more: Partial<BlobInfo> = {}): BlobInfo => ({
  id,
  chunkSize: 0x100000,
  chunkCount: 2,
  compressor: 3,
  digester: 0,
  features: BlobFeature.ALIGNED + BlobFeature.CAP_TAR_TOC,
  compressedSize: 1000,
  uncompressedSize: 0x1000,
  tocSize: 0,
  tocDigest: Buffer.alloc(32),
  ciCompressor: 0,
  ciOffset: 0,
  ciCompressedSize: 0,
  ciUncompressedSize: 0,
  metaDigest: Buffer.alloc(32),
  metaSize: 0,
  ...more,
});

/** One chunk of `sizes[i]` bytes of each blob; none for 0. */
const chunksOf = (sizes: readonly number[]): ChunkTable => {
  const chunks = new ChunkTable();
  sizes.forEach((compressedSize, blobIndex) => {
    if (compressedSize === 0) return;
    const chunk: StoredChunk = {
      digest: Buffer.alloc(32, blobIndex),
      blobIndex,
      index: 0,
      fileOffset: 0,
      compressedOffset: 0,
      compressedSize,
      uncompressedOffset: 0,
      uncompressedSize: 0x1000,
      compressed: true,
      encrypted: false,
    };
    chunks.addStored(chunk, blobIndex);
  });
  return chunks;
};

const plan = (
  blobs: readonly BlobInfo[],
  sizes: readonly number[],
  options: Partial<CompactOptions> = {},
) =>
  planCompaction(
    blobs,
    chunksOf(sizes),
    blobs.map(({ compressedSize }) => compressedSize),
    { minUsedRatio: 0, compactBlobSize: 0, maxCompactSize: 1e9, layersToCompact: 0, ...options },
  );

t.test('blobs of which too little is used are made anew, unused ones go', async t => {
  const blobs = [blob('a'), blob('b'), blob('c'), blob('d', { chunkCount: 1 })];
  t.same(plan(blobs, [499, 500, 0, 10], { minUsedRatio: 50 }), [{ from: [0] }, 1, 3]);
  t.same(plan(blobs, [499, 500, 0, 10]), [0, 1, 3], 'unused ones in any case');
  t.equal(plan(blobs.slice(0, 2), [499, 500]), undefined, 'nothing to do');
  t.equal(plan(blobs, [0, 0, 0, 0]), undefined, 'nothing to keep');
  t.equal(plan(blobs, [1, 1, 0, 1], { layersToCompact: 5 }), undefined, 'too few');
  t.same(plan(blobs, [499, 500, 0, 10], { dictBlobs: new Set(['c', 'd']), minUsedRatio: 51 }), [
    { from: [0] },
    { from: [1] },
    2,
    3,
  ]);
});

t.test('small blobs are joined, the smallest first, up to a size', async t => {
  const blobs = [
    blob('a', { compressedSize: 900 }),
    blob('b', { compressedSize: 300 }),
    blob('c'),
    blob('d', { compressedSize: 200 }),
  ];
  const options = { compactBlobSize: 1000, maxCompactSize: 500 };
  t.same(plan(blobs, [400, 250, 500, 200], options), [0, 2, { from: [1, 3] }]);
  t.same(plan(blobs, [50, 250, 500, 200], options), [2, { from: [0, 1, 3] }]);
  const other = [blob('a'), blob('b', { compressor: 1 }), blob('c', { chunkSize: 0x1000 })];
  t.equal(plan(other, [1, 1, 1], { compactBlobSize: 2000 }), undefined, 'only with their like');
});

t.test('blobs of kinds of their own stay', async t => {
  const { ZRAN, BATCH, ENCRYPTED, SEPARATE, TARFS, EXTERNAL } = BlobFeature;
  for (const feature of [ZRAN, BATCH, ENCRYPTED, SEPARATE, TARFS, EXTERNAL]) {
    const own = blob('b', { features: blob('b').features + feature });
    t.notOk(isCopyable(own));
    t.same(
      plan([blob('a'), own, blob('c')], [1, 1, 1], { minUsedRatio: 99, compactBlobSize: 9999 }),
      [{ from: [0, 2] }, 1],
    );
  }
});
