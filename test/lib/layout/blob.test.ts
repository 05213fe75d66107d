import { TOC_COMPRESSION_FLAGS } from '../../../lib/layout/compressors.js';
import fc from 'fast-check';
import t from 'tap';
import {
  BatchContext,
  BlobFeature,
  ChunkInfoFlag,
  ChunkInfoHeader,
  ChunkInfoV1,
  ChunkInfoV2,
  INVALID_FEATURES,
  Section,
  TocEntry,
} from '../../../lib/layout/blob.js';
import { goldenRecord } from '../../support/images/golden-record.js';

// The bytes are cut from blobs that nydus-image made of small layers.

t.test('header of the CI table', async t => {
  goldenRecord(
    t,
    ChunkInfoHeader,
    '0bb10bb1' +
      '21000070' +
      '00000000' +
      '0b000000' +
      '238a000000000000' +
      'b000000000000000' +
      'b000000000000000',
    {
      features:
        BlobFeature.ALIGNED +
        BlobFeature.INLINED_CHUNK_DIGEST +
        BlobFeature.HAS_TAR_HEADER +
        BlobFeature.HAS_TOC +
        BlobFeature.CAP_TAR_TOC,
      ciCompressor: 0,
      chunkCount: 11,
      ciOffset: 35363,
      ciCompressedSize: 176,
      ciUncompressedSize: 176,
      contextOffset: 0,
      contextSize: 0,
      contextCount: 0,
    },
    '0bb10bb1',
  );
  // with a zran or batch context behind the chunks
  goldenRecord(
    t,
    ChunkInfoHeader,
    '0bb10bb11d000040030000000b0000000000000000000000b2000000000000003001000000000000080100000000000028000000000000000100000000000000',
    {
      features:
        BlobFeature.ALIGNED +
        BlobFeature.CHUNK_INFO_V2 +
        BlobFeature.ZRAN +
        BlobFeature.SEPARATE +
        BlobFeature.CAP_TAR_TOC,
      ciCompressor: 3,
      chunkCount: 11,
      ciOffset: 0,
      ciCompressedSize: 178,
      ciUncompressedSize: 304,
      contextOffset: 264,
      contextSize: 40,
      contextCount: 1,
    },
    '0bb10bb1',
  );
  t.match(ChunkInfoHeader.offsets, {
    features: 4,
    ciOffset: 16,
    contextOffset: 40,
    contextCount: 56,
    magic2: 4092,
  });
});

t.test('both magic numbers of the CI header are checked', async t => {
  const good = ChunkInfoHeader.encode({
    features: 0,
    ciCompressor: 0,
    chunkCount: 0,
    ciOffset: 0,
    ciCompressedSize: 0,
    ciUncompressedSize: 0,
    contextOffset: 0,
    contextSize: 0,
    contextCount: 0,
  });
  for (const field of ['magic', 'magic2'] as const) {
    const bad = Buffer.from(good);
    bad[ChunkInfoHeader.offsets[field]]! ^= 1;
    t.throws(() => ChunkInfoHeader.decode(bad), {
      code: 'CORRUPT',
      at: { record: 'ChunkInfoHeader', field, offset: ChunkInfoHeader.offsets[field] },
    });
  }
});

t.test('chunk info, format 1', async t => {
  goldenRecord(t, ChunkInfoV1, '000000000090010000000000009001' + '00', {
    uncompressed: { reserved: 0, sizeHigh: 0, offset4k: 0, sizeLow: 25 },
    compressed: { offset: 0, sizeHigh: 0, sizeLow: 25 },
  });
  goldenRecord(t, ChunkInfoV1, '0070000000703202' + '4a4e000000703202', {
    uncompressed: { reserved: 0, sizeHigh: 0, offset4k: 7, sizeLow: 8999 },
    compressed: { offset: 20042, sizeHigh: 0, sizeLow: 8999 },
  });
});

t.test('chunk info, format 1, as shifts of one integer', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 0x1000000 }),
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.integer({ min: 1, max: 0x1000000 }),
      fc.integer({ min: 0, max: 2 ** 40 - 1 }),
      (size, offset4k, storedSize, storedOffset) => {
        const buf = ChunkInfoV1.encode({
          uncompressed: {
            reserved: 0,
            sizeHigh: (size - 1) >>> 20,
            offset4k,
            sizeLow: (size - 1) & 0xfffff,
          },
          compressed: {
            offset: storedOffset,
            sizeHigh: (storedSize - 1) >>> 20,
            sizeLow: (storedSize - 1) & 0xfffff,
          },
        });
        const plain = buf.readBigUInt64LE(0);
        const stored = buf.readBigUInt64LE(8);
        const sizeOf = (low: bigint, high: bigint): number => Number((high << 20n) | low) + 1;
        return (
          Number((plain >> 12n) & 0xffffffffn) === offset4k &&
          sizeOf(plain >> 44n, (plain >> 8n) & 0xfn) === size &&
          Number(stored & 0xffffffffffn) === storedOffset &&
          sizeOf(stored >> 44n, (stored >> 40n) & 0xfn) === storedSize
        );
      },
    ),
  );
});

t.test('chunk info, format 2', async t => {
  // two members of a batch: the second starts 5 KiB behind, in units of 4 KiB: at 0x1000
  goldenRecord(t, ChunkInfoV2, '000000001900000500000000000000000000000000000000', {
    uncompressed: {
      offset4k: 0,
      sizeMinus1: 25,
      flags: ChunkInfoFlag.COMPRESSED + ChunkInfoFlag.BATCH,
    },
    compressed: { offset: 0, size: 0 },
    data: { offset: 0, index: 0 },
  });
  goldenRecord(t, ChunkInfoV2, '010000000f00000500000000000000001a00000000000000', {
    uncompressed: { offset4k: 1, sizeMinus1: 15, flags: 5 },
    compressed: { offset: 0, size: 0 },
    data: { offset: 26, index: 0 },
  });
  // of a gzip layer
  goldenRecord(t, ChunkInfoV2, '0000000019000003bd000000001900000006000000000000', {
    uncompressed: {
      offset4k: 0,
      sizeMinus1: 25,
      flags: ChunkInfoFlag.COMPRESSED + ChunkInfoFlag.ZRAN,
    },
    compressed: { offset: 0xbd, size: 25 },
    data: { offset: 0x600, index: 0 },
  });
});

t.test('batch context', async t => {
  goldenRecord(t, BatchContext, 'a960000023880000', {
    compressedSize: 24745,
    uncompressedBatchSize: 34851,
  });
});

t.test('TOC entry', async t => {
  const digest = '7dd3f7370f07118b9a455de9d55fa35d6a8624154ab503beb80e4f4a9c8ea027';
  goldenRecord(
    t,
    TocEntry,
    '0100000000000000' +
      '696d6167652e626c6f62000000000000' +
      digest +
      '0000000000000000' +
      '2388000000000000' +
      '0020010000000000',
    {
      flags: TOC_COMPRESSION_FLAGS.none!,
      name: Section.BLOB,
      uncompressedDigest: Buffer.from(digest, 'hex'),
      compressedOffset: 0,
      compressedSize: 34851,
      uncompressedSize: 73728,
    },
  );
  t.match(TocEntry.offsets, {
    name: 8,
    uncompressedDigest: 24,
    compressedOffset: 56,
    compressedSize: 64,
    uncompressedSize: 72,
  });
  const unknown = Buffer.alloc(TocEntry.size);
  unknown[0] = 8;
  t.throws(() => TocEntry.decode(unknown), {
    code: 'CORRUPT',
    at: { record: 'TocEntry', field: 'flags' },
  });
});

t.test('names of sections fit their field, and the longest fills it', async t => {
  const lengths = Object.values(Section).map(name => name.length);
  t.equal(Math.max(...lengths), 16);
  const value = {
    flags: TOC_COMPRESSION_FLAGS.none!,
    name: Section.META_HEADER,
    uncompressedDigest: Buffer.alloc(32),
    compressedOffset: 0,
    compressedSize: 0,
    uncompressedSize: 0,
  };
  t.equal(TocEntry.decode(TocEntry.encode(value)).name, 'blob.meta.header');
});

t.test('feature bits are distinct, and none is invalid', async t => {
  const bits = Object.values(BlobFeature);
  t.equal(new Set(bits).size, bits.length);
  for (const bit of bits) {
    t.ok(Number.isInteger(Math.log2(bit)));
    t.equal(BigInt(bit) & BigInt(INVALID_FEATURES), 0n);
  }
});
