import fc from 'fast-check';
import t from 'tap';
import { ChunkInfoWriter } from '../../../lib/blob/chunk-info-writer.js';
import { decompress, prepareCompressors } from '../../../lib/compress/compressors.js';
import { decrypt } from '../../../lib/crypto/aes-xts.js';
import { ChunkInfoHeader } from '../../../lib/layout/blob.js';
import { placedChunk } from '../../support/images/chunks.js';

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
      const ci = new ChunkInfoWriter();
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
      const ci = new ChunkInfoWriter();
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

t.test('format 2: flags, checksum or place in a batch, contexts behind the chunks', async t => {
  const ci = new ChunkInfoWriter(2);
  const uncompressedOffset = 0x5000;
  const place = { uncompressedSize: 0x1000, compressedSize: 0x234, uncompressedOffset };
  ci.add(placedChunk(7, { ...place, compressed: true, compressedOffset: 0x9876543210, index: 0 }));
  ci.add(placedChunk(0, { ...place, encrypted: true, compressedOffset: 0, index: 1 }));
  const batch = { context: 3, offset: 0x55 };
  ci.add(placedChunk(9, { ...place, batch, compressedSize: 0, compressedOffset: 1, index: 2 }));
  const sealed = { ...place, batch, encrypted: true, compressedSize: 0, compressedOffset: 1 };
  ci.add(placedChunk(9, { ...sealed, index: 3 }));
  const contexts = Buffer.alloc(80, 0xcc);
  const { plain, header } = ci.finish({ ...FINISH, contexts, contextCount: 2 });
  const words = (n: number): string[] =>
    [0, 8, 16].map(at => plain.readBigUInt64LE(24 * n + at).toString(16));
  t.same(words(0), ['11000fff00000005', '2349876543210', '7']);
  t.same(words(1), ['8000fff00000005', '2340000000000', '0'], 'a checksum of 0 is none');
  t.same(words(2), ['5000fff00000005', '1', '300000055']);
  t.same(words(3), ['d000fff00000005', '1', '300000055']);
  t.ok(plain.subarray(96).equals(contexts));
  t.match(ChunkInfoHeader.decode(header), {
    chunkCount: 4,
    ciUncompressedSize: 176,
    contextOffset: 96,
    contextSize: 80,
    contextCount: 2,
  });
});

t.test('contexts have a place even if there are none', async t => {
  const ci = new ChunkInfoWriter(2);
  ci.add(placedChunk(0));
  const { header } = ci.finish({ ...FINISH, contexts: Buffer.alloc(0) });
  t.match(ChunkInfoHeader.decode(header), { contextOffset: 24, contextSize: 0, contextCount: 0 });
});

t.test('an encrypted table is the same table', async t => {
  const secret = { key: Buffer.from('0123456789abcdef0123456789ABCDEF'), iv: Buffer.alloc(16, 9) };
  for (const compressor of ['none', 'zstd', 'lz4_block'] as const) {
    for (const count of [1, 500]) {
      const table = (): ChunkInfoWriter => {
        const ci = new ChunkInfoWriter(2);
        for (let i = 0; i < count; i++) ci.add(placedChunk(i));
        return ci;
      };
      const open = table().finish({ ...FINISH, compressor });
      const sealed = table().finish({ ...FINISH, compressor, secret });
      t.ok(sealed.plain.equals(open.plain));
      t.equal(sealed.compressor, open.compressor);
      t.notOk(sealed.stored.equals(open.stored));
      t.ok(decrypt(secret, sealed.stored).equals(open.stored));
    }
  }
});

t.test('what does not fit is LIMIT', async t => {
  const refuse = (more: object): void => {
    const ci = new ChunkInfoWriter();
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
  const ci = new ChunkInfoWriter();
  ci.add(placedChunk(0, { index: 0xfffffe }));
  t.equal(ci.chunkCount, 1);
});

t.test('format 2 has no room for a stored size of 16 MiB', async t => {
  const ci = new ChunkInfoWriter(2);
  const size = 0x1000000;
  const chunk = placedChunk(0, { uncompressedSize: size, compressedSize: size });
  t.throws(() => ci.add(chunk), { name: 'RafsError', code: 'LIMIT' });
});
