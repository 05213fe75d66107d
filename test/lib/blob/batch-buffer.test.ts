import fc from 'fast-check';
import t from 'tap';
import { ChunkBatchBuffer } from '../../../lib/blob/batch-buffer.js';
import { BufferPool } from '../../../lib/memory/buffer-pool.js';

/** A batch of 4096 bytes: half of it, less one, still joins. */
const SIZE = 4096;

t.test('only whole files of less than half a batch join', async t => {
  const batch = new ChunkBatchBuffer(SIZE);
  t.ok(batch.takes(2047, true));
  t.notOk(batch.takes(2048, true));
  t.notOk(batch.takes(100, false));
  t.equal(batch.take(), undefined, 'nothing to end');
});

t.test('a batch stays below its size', async t => {
  const batch = new ChunkBatchBuffer(SIZE);
  t.notOk(batch.hasRoom(10), 'there is none under way');
  t.same(batch.add(Buffer.alloc(2047, 1)), { context: 0, offset: 0 });
  t.ok(batch.hasRoom(2047));
  t.same(batch.add(Buffer.alloc(2047, 2)), { context: 0, offset: 2047 });
  t.ok(batch.hasRoom(1));
  t.notOk(batch.hasRoom(2));
  const bytes = batch.take()!;
  t.equal(bytes.length, 4094);
  t.same(batch.add(Buffer.from('x')), { context: 1, offset: 0 });
  t.equal(bytes[0], 1, 'the bytes of the one before are still there');
  t.equal(batch.take()!.toString(), 'x');
});

t.test('a chunk too small to begin a batch joins one that has begun', async t => {
  const batch = new ChunkBatchBuffer(SIZE, 19);
  t.notOk(batch.takes(18, true));
  t.ok(batch.takes(19, true));
  batch.add(Buffer.alloc(19));
  t.ok(batch.takes(1, true));
  batch.add(Buffer.alloc(1));
  t.equal(batch.take()!.length, 20);
});

t.test('batches are made in the buffers of a pool, where there is one', async t => {
  const pool = new BufferPool(SIZE);
  const batch = new ChunkBatchBuffer(SIZE, 0, pool);
  batch.add(Buffer.alloc(2000, 1));
  const first = batch.take()!;
  t.equal(first.length, 2000);
  t.ok(pool.has(first), 'not a copy');
  batch.add(Buffer.alloc(10, 2));
  const second = batch.take()!;
  t.equal(first[0], 1, 'the next one has another buffer');
  pool.releaseBefore(second);
  batch.add(Buffer.alloc(10, 3));
  t.equal(batch.take()!.buffer, first.buffer, 'until it is said to be free');
});

t.test('every chunk is found where it was put', async () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 2047 }), { maxLength: 60 }), sizes => {
      const batch = new ChunkBatchBuffer(SIZE);
      const batches: Buffer[] = [];
      const end = (): void => {
        const bytes = batch.take();
        if (bytes) batches.push(bytes);
      };
      const places = sizes.map((size, n) => {
        if (!batch.hasRoom(size)) end();
        return batch.add(Buffer.alloc(size, n + 1));
      });
      end();
      if (batches.some(({ length }) => length >= SIZE)) throw new Error('too large');
      places.forEach(({ context, offset }, n) => {
        const bytes = batches[context]!.subarray(offset, offset + sizes[n]!);
        if (!bytes.equals(Buffer.alloc(sizes[n]!, n + 1))) throw new Error(`chunk ${n}`);
      });
      const total = batches.reduce((sum, { length }) => sum + length, 0);
      return total === sizes.reduce((sum, size) => sum + size, 0);
    }),
  );
});
