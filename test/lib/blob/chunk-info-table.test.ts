import fs from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { walk } from '../../../lib/bootstrap/walk.js';
import type { BlobRecord } from '../../../lib/model/stored.js';
import {
  parseChunkInfo,
  parseChunkInfoHeader,
  hasChunkInfo,
} from '../../../lib/blob/chunk-info-table.js';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import {
  BatchContext,
  BlobFeature,
  ChunkInfoFlag,
  ChunkInfoHeader,
  ChunkInfoV1,
  ChunkInfoV2,
} from '../../../lib/layout/blob.js';
import { altered, failure, golden, goldenBlob } from '../../support/images/golden.js';

await prepareCompressors();

const parts = (name: string) => {
  const bootstrap = parseBootstrap(golden(name));
  const blob = bootstrap.blobs[0]!;
  const bytes = fs.readFileSync(goldenBlob(name));
  const headerOffset = blob.ciOffset + blob.ciCompressedSize;
  return {
    bootstrap,
    blob,
    stored: bytes.subarray(blob.ciOffset, headerOffset),
    header: bytes.subarray(headerOffset, headerOffset + ChunkInfoHeader.size),
  };
};

const read = ({ blob, stored, header }: { blob: BlobRecord; stored: Buffer; header: Buffer }) =>
  parseChunkInfo(stored, parseChunkInfoHeader(header, blob), blob);

t.test('says of chunks what the bootstrap says', t => {
  for (const name of ['tar-rafs.kinds.zstd.v6', 'toc.kinds.none', 'batch.kinds.zstd']) {
    const found = parts(name);
    const table = read(found);
    const { bootstrap, blob } = found;
    t.equal(table.count, blob.chunkCount);
    let count = 0;
    for (const { inode } of walk(bootstrap)) {
      for (const chunk of bootstrap.chunks(inode)) {
        const info = table.chunk(chunk.index);
        t.equal(info.uncompressedOffset, chunk.uncompressedOffset);
        t.equal(info.uncompressedSize, chunk.uncompressedSize);
        if (info.batch) t.equal(chunk.compressedSize, 0);
        else {
          t.equal(info.compressedOffset, chunk.compressedOffset);
          t.equal(info.compressedSize, chunk.compressedSize);
          t.equal(info.compressed, chunk.compressed);
        }
        count += 1;
      }
    }
    t.ok(count >= table.count, name);
  }
  t.end();
});

t.test('chunks of a gzip layer have contexts', t => {
  const table = read(parts('zran.kinds'));
  t.ok(table.contextCount > 0);
  for (let i = 0; i < table.count; i++) t.ok(table.chunk(i).zran, `chunk ${i}`);
  t.end();
});

t.test('the header is compared with the blob table', t => {
  const { blob, header } = parts('tar-rafs.kinds.zstd.v6');
  const fields = ['ciCompressor', 'chunkCount', 'ciOffset', 'ciCompressedSize'] as const;
  for (const field of [...fields, 'ciUncompressedSize', 'magic', 'magic2'] as const) {
    const wrong = Buffer.from(header);
    wrong[ChunkInfoHeader.offsets[field]]! ^= 1;
    t.equal(failure(() => parseChunkInfoHeader(wrong, blob))?.code, 'CORRUPT', field);
  }
  t.equal(failure(() => parseChunkInfoHeader(header.subarray(1), blob))?.code, 'CORRUPT');
  t.end();
});

t.test('altered tables: entries or a RafsError', t => {
  for (const name of ['toc.kinds.none', 'batch.kinds.zstd', 'zran.kinds']) {
    const found = parts(name);
    let refused = 0;
    for (const stored of altered(found.stored, 1500)) {
      const error = failure(() => {
        const table = read({ ...found, stored });
        for (let i = 0; i < table.count; i++) table.chunk(i);
      });
      if (error) refused += 1;
    }
    t.ok(refused > 150, `${name}: ${refused} are refused`);
  }
  t.end();
});

const blobOf = (features: number, count: number, size: number): BlobRecord => ({
  ...parts('toc.kinds.none').blob,
  features,
  chunkCount: count,
  ciCompressor: 0,
  ciOffset: 2 ** 30,
  ciCompressedSize: size,
  ciUncompressedSize: size,
  chunkSize: 2 ** 24,
  uncompressedSize: 2 ** 43,
});

const headerOf = (blob: BlobRecord, contexts = { offset: 0, size: 0, count: 0 }) =>
  ChunkInfoHeader.decode(
    ChunkInfoHeader.encode({
      features: blob.features,
      ciCompressor: 0,
      chunkCount: blob.chunkCount,
      ciOffset: blob.ciOffset,
      ciCompressedSize: blob.ciCompressedSize,
      ciUncompressedSize: blob.ciUncompressedSize,
      contextOffset: contexts.offset,
      contextSize: contexts.size,
      contextCount: contexts.count,
    }),
  );

t.test('entries of format 1 hold any size up to 16 MiB', t => {
  const size = fc.integer({ min: 1, max: 2 ** 24 });
  fc.assert(
    fc.property(size, size, fc.nat(2 ** 30 - 1), (plainSize, packedSize, page) => {
      const compressedSize = Math.min(plainSize, packedSize);
      const bytes = ChunkInfoV1.encode({
        uncompressed: {
          reserved: 0,
          sizeHigh: (plainSize - 1) >> 20,
          offset4k: page,
          sizeLow: (plainSize - 1) & 0xfffff,
        },
        compressed: {
          offset: 77,
          sizeHigh: (compressedSize - 1) >> 20,
          sizeLow: (compressedSize - 1) & 0xfffff,
        },
      });
      const blob = blobOf(BlobFeature.ALIGNED, 1, bytes.length);
      t.match(parseChunkInfo(bytes, headerOf(blob), blob).chunk(0), {
        uncompressedOffset: page * 4096,
        uncompressedSize: plainSize,
        compressedOffset: 77,
        compressedSize,
        compressed: compressedSize !== plainSize,
      });
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('entries of format 2 that make no sense', t => {
  const V2 = BlobFeature.ALIGNED | BlobFeature.CHUNK_INFO_V2;
  const chunk = (
    flags: number,
    { features = V2, size = 10, packed = 10, offset = 1, index = 0, at = 0 } = {},
  ) => {
    const entry = ChunkInfoV2.encode({
      uncompressed: { offset4k: 0, sizeMinus1: size - 1, flags },
      compressed: { offset: at, size: packed },
      data: { offset, index },
    });
    const context = BatchContext.encode({ compressedSize: 50, uncompressedBatchSize: 100 });
    const batch = (features & BlobFeature.BATCH) !== 0;
    const bytes = batch ? Buffer.concat([entry, context]) : entry;
    const blob = blobOf(features, 1, bytes.length);
    const contexts = batch ? { offset: entry.length, size: context.length, count: 1 } : undefined;
    return failure(() => parseChunkInfo(bytes, headerOf(blob, contexts), blob).chunk(0));
  };
  const { COMPRESSED, BATCH, ZRAN, HAS_CRC32 } = ChunkInfoFlag;
  const batches = V2 | BlobFeature.BATCH;
  const good = {
    plain: chunk(0),
    'with a checksum': chunk(HAS_CRC32),
    compressed: chunk(COMPRESSED, { packed: 3 }),
    'in a batch': chunk(COMPRESSED | BATCH, { features: batches, packed: 0, offset: 90 }),
  };
  for (const [what, error] of Object.entries(good)) t.equal(error, undefined, what);
  const bad = {
    'sizes differ': chunk(0, { packed: 9 }),
    'no bytes': chunk(COMPRESSED, { packed: 0 }),
    'a checksum of 0': chunk(HAS_CRC32, { offset: 0 }),
    'a batch in a blob without': chunk(COMPRESSED | BATCH),
    'a gzip chunk in a blob without': chunk(COMPRESSED | ZRAN),
    'past its batch': chunk(COMPRESSED | BATCH, { features: batches, packed: 0, offset: 91 }),
    'no such batch': chunk(COMPRESSED | BATCH, { features: batches, packed: 0, index: 1 }),
    'past the data': chunk(0, { at: 2 ** 30 }),
  };
  for (const [what, error] of Object.entries(bad)) t.equal(error?.code, 'CORRUPT', what);
  t.end();
});

t.test('blobs without a table', t => {
  t.ok(hasChunkInfo(parts('toc.kinds.none').blob));
  t.notOk(hasChunkInfo(parseBootstrap(golden('tarfs.kinds')).blobs[0]!));
  t.end();
});
