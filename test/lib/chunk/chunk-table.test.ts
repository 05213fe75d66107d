import fc from 'fast-check';
import t from 'tap';
import { ChunkTable } from '../../../lib/chunk/chunk-table.js';
import { ChunkRecord } from '../../../lib/layout/rafs.js';
import type { PlacedChunk } from '../../../lib/model/chunk.js';
import { placedChunk } from '../../support/images/chunks.js';

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const chunk: fc.Arbitrary<PlacedChunk> = fc
  .record({
    digest: fc
      .uint8Array({ minLength: 32, maxLength: 32, size: 'max' })
      .map(bytes => Buffer.from(bytes)),
    crc32: u32,
    compressed: fc.boolean(),
    blobIndex: fc.nat(253),
    index: fc.nat(0xfffffe),
    compressedOffset: fc.maxSafeNat(),
    compressedSize: u32,
    uncompressedOffset: fc.maxSafeNat(),
    uncompressedSize: u32,
  })
  .map(more => placedChunk(0, more));

t.test('records hold what was added, by row', async t => {
  fc.assert(
    fc.property(
      fc.array(chunk, { maxLength: 400, size: 'max' }),
      fc.maxSafeNat(),
      (chunks, fileOffset) => {
        const table = new ChunkTable();
        t.same(
          chunks.map(chunk => table.add(chunk)),
          chunks.map((_, row) => row),
        );
        t.equal(table.count, chunks.length);
        const buf = Buffer.alloc(7 + chunks.length * ChunkRecord.size);
        chunks.forEach((_, row) =>
          table.encodeInto(buf, 7 + row * ChunkRecord.size, row, fileOffset),
        );
        chunks.forEach((chunk, row) => {
          t.same(ChunkRecord.decode(buf, 7 + row * ChunkRecord.size), {
            digest: chunk.digest,
            blobIndex: chunk.blobIndex,
            flags: chunk.compressed ? 0x11 : 0x10, // has a CRC; compressed
            compressedSize: chunk.compressedSize,
            uncompressedSize: chunk.uncompressedSize,
            compressedOffset: chunk.compressedOffset,
            uncompressedOffset: chunk.uncompressedOffset,
            fileOffset,
            index: chunk.index,
            crc32: chunk.crc32,
          });
          t.ok(table.digest(row).equals(chunk.digest));
        });
      },
    ),
    { numRuns: 20 },
  );
});

t.test('digests compare as bytes', async () => {
  fc.assert(
    fc.property(chunk, chunk, fc.nat(31), fc.nat(255), (a, other, at, byte) => {
      const near = { ...a, digest: Buffer.from(a.digest) };
      near.digest[at] = byte;
      const table = new ChunkTable();
      return [other, near].every(b => {
        const order = table.compareDigests(table.add(a), table.add(b));
        return Math.sign(order) === Buffer.compare(a.digest, b.digest);
      });
    }),
  );
});
