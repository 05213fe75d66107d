import fc from 'fast-check';
import t from 'tap';
import { CiWriter } from '../../lib/ci-writer.js';
import { decompress, prepareCompressors } from '../../lib/compress.js';
import { ChunkInfoHeader } from '../../lib/layout/blob.js';
import { placedChunk } from '../support/chunks.js';

await prepareCompressors();
const FINISH = { compressor: 'none', features: 0x4000_0001, ciOffset: 12345 } as const;

const place = fc.record({
  uncompressedSize: fc.integer({ min: 1, max: 0x1000000 }),
  compressedSize: fc.integer({ min: 1, max: 0x1000000 }),
  uncompressedOffset: fc.nat(2 ** 31 - 1).map(blocks => blocks * 2 * 4096),
  compressedOffset: fc.integer({ min: 0, max: 2 ** 40 - 1 }),
});

t.test('every chunk is a pair of 64-bit words, in the order of the index', async t => {
  fc.assert(
    fc.property(fc.array(place, { maxLength: 300, size: 'max' }), places => {
      const ci = new CiWriter();
      places.forEach((place, index) => ci.add(placedChunk(index, place)));
      t.equal(ci.chunkCount, places.length);
      const { plain, stored, compressor } = ci.finish(FINISH);
      t.equal(compressor, 'none');
      t.ok(stored.equals(plain));
      t.equal(plain.length, 16 * places.length);
      places.forEach((place, i) => {
        const word = (offset: bigint, offsetShift: bigint, size: number, high: bigint): bigint =>
          (offset << offsetShift) |
          ((BigInt(size - 1) >> 20n) << high) |
          ((BigInt(size - 1) & 0xfffffn) << 44n);
        const blocks = BigInt(place.uncompressedOffset / 4096);
        t.equal(plain.readBigUInt64LE(16 * i), word(blocks, 12n, place.uncompressedSize, 8n));
        t.equal(
          plain.readBigUInt64LE(16 * i + 8),
          word(BigInt(place.compressedOffset), 0n, place.compressedSize, 40n),
        );
      });
    }),
    { numRuns: 30 },
  );
});

t.test('the table is compressed where that makes it smaller, and the header says so', async t => {
  for (const compressor of ['none', 'zstd', 'lz4_block'] as const) {
    for (const count of [1, 1000]) {
      const ci = new CiWriter();
      for (let i = 0; i < count; i++) ci.add(placedChunk(i));
      const made = ci.finish({ ...FINISH, compressor });
      const packs = compressor !== 'none' && count > 1;
      t.equal(made.compressor, packs ? compressor : 'none', `${compressor}, ${count} chunks`);
      t.equal(made.plain.length, 16 * count);
      t.equal(made.header.length, 4096);
      t.same(ChunkInfoHeader.decode(made.header), {
        features: 0x4000_0001,
        ciCompressor: { none: 0, lz4_block: 1, zstd: 3 }[made.compressor as 'none'],
        chunkCount: count,
        ciOffset: 12345,
        ciCompressedSize: made.stored.length,
        ciUncompressedSize: 16 * count,
        contextOffset: 0,
        contextSize: 0,
        contextCount: 0,
      });
      if (packs) {
        t.ok(made.stored.length < made.plain.length);
        t.ok(decompress(compressor, made.stored, 16 * count).equals(made.plain));
      } else t.ok(made.stored.equals(made.plain));
    }
  }
});

t.test('what does not fit is LIMIT', async t => {
  const refuse = (more: object): void => {
    const ci = new CiWriter();
    t.throws(() => ci.add(placedChunk(0, more)), { name: 'RafsError', code: 'LIMIT' });
  };
  refuse({ index: 0xffffff });
  refuse({ uncompressedSize: 0 });
  refuse({ uncompressedSize: 0x1000001 });
  refuse({ compressedSize: 0 });
  refuse({ compressedSize: 0x1000001 });
  refuse({ compressedOffset: 2 ** 40 });
  refuse({ uncompressedOffset: 2 ** 44 });
  refuse({ uncompressedOffset: 100 });
  const ci = new CiWriter();
  ci.add(placedChunk(0, { index: 0xfffffe }));
  t.equal(ci.chunkCount, 1);
});
