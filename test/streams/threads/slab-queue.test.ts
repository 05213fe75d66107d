import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { compress, prepareCompressors } from '../../../lib/compress/compressors.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { SlabQueue } from '../../../streams/threads/slab-queue.js';
import { ThreadPool } from '../../../streams/threads/thread-pool.js';
import { randomBytes, wordyBytes } from '../../support/random.js';

await prepareCompressors();
await prepareDigests();

const SIZE = 0x10000; // not the usual one: these tests have a stock of their own

const poolWith = async (t: Test, threads: number): Promise<ThreadPool> => {
  const pool = new ThreadPool();
  t.teardown(() => pool.close());
  pool.start(threads);
  while (threads > 0 && pool.haveEnough(threads)) await new Promise(go => setTimeout(go, 5));
  return pool;
};

t.test('answers come in the order of the slabs, with any number of threads', async t => {
  for (const workers of [0, 1, 2, 3]) {
    const pool = await poolWith(t, workers);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: SIZE }), { maxLength: 30 }),
        async sizes => {
          const queue = new SlabQueue<number, 'hash-chunks'>({
            task: { kind: 'hash-chunks' },
            workers,
            slabSize: SIZE,
            pool,
          });
          const read: number[] = [];
          const readOne = async (): Promise<void> => {
            const { item, slab, made } = await queue.next();
            const due = createHash('sha256').update(Buffer.alloc(sizes[item]!, item)).digest();
            if (!due.equals(made.subarray(0, 32))) throw new Error(`digest of slab ${item}`);
            read.push(item);
            queue.free(slab);
          };
          for (const [i, size] of sizes.entries()) {
            let slab = queue.take();
            while (!slab) {
              await readOne();
              slab = queue.take();
            }
            Buffer.from(slab.plain).fill(i, 0, size);
            queue.send(i, slab, [size]);
            while (queue.isReady) await readOne();
          }
          while (queue.length > 0) await readOne();
          await queue.close();
          return read.every((item, i) => item === i) && read.length === sizes.length;
        },
      ),
      { numRuns: 20 },
    );
  }
});

t.test('a slab gives the stored size of each chunk, and what was compressed', async t => {
  for (const workers of [0, 2]) {
    const pool = await poolWith(t, workers);
    const task = { kind: 'compress', compressor: 'lz4_block' } as const;
    const queue = new SlabQueue({ task, workers, slabSize: SIZE, pool });
    const given = (workers === 0 ? [1] : [1, 2]).map(seed => {
      const chunks = [
        wordyBytes(3000, seed),
        randomBytes(500, seed),
        Buffer.alloc(0),
        wordyBytes(9000, seed),
      ];
      const slab = queue.take()!;
      Buffer.concat(chunks).copy(Buffer.from(slab.plain));
      const sizes = chunks.map(({ length }) => length);
      queue.send(chunks, slab, sizes);
      return chunks;
    });
    for (const chunks of given) {
      const { item, slab, made } = await queue.next();
      t.equal(item, chunks);
      const due = chunks.map(chunk => compress('lz4_block', chunk) ?? Buffer.alloc(0));
      t.same(
        made.stored,
        due.map(({ length }) => length),
      );
      const packed = Buffer.concat(due);
      t.ok(Buffer.from(slab.packed, 0, packed.length).equals(packed));
      t.ok(Buffer.from(slab.plain, 0, 12500).equals(Buffer.concat(chunks)), 'the chunks stay');
      queue.free(slab);
    }
    await queue.close();
  }
});

t.test('slabs are bounded, but whoever has none gets one', async t => {
  const pool = await poolWith(t, 0);
  const queueOf = () =>
    new SlabQueue({ task: { kind: 'hash-chunks' }, workers: 1, slabSize: SIZE, pool });
  const queues = [queueOf(), queueOf()];
  let count = 0;
  while (queues[0]!.take()) count++;
  t.equal(count, 8, 'one in a thread, six in stock, and one for the second build');
  t.ok(queues[1]!.take());
  t.notOk(queues[1]!.take());
  await queues[0]!.close();
  t.ok(queues[1]!.take(), 'the others are free again');
  const few = new SlabQueue({
    task: { kind: 'hash-chunks' },
    workers: 1,
    slabSize: SIZE,
    pool,
    most: 2,
  });
  t.ok(few.take());
  t.ok(few.take());
  t.notOk(few.take());
  await Promise.all([queues[1]!.close(), few.close()]);
});

t.test('an abandoned queue waits for its own jobs, and leaves the pool usable', async t => {
  const pool = await poolWith(t, 1);
  const task = { kind: 'compress', compressor: 'zstd' } as const;
  for (let round = 0; round < 3; round++) {
    const queue = new SlabQueue({ task, workers: 1, slabSize: SIZE, pool });
    const other = new SlabQueue({ task, workers: 1, slabSize: SIZE, pool });
    for (let i = 0; i < 4; i++) {
      const slab = queue.take()!;
      wordyBytes(SIZE, i).copy(Buffer.from(slab.plain));
      queue.send(i, slab, [SIZE]);
    }
    const kept = other.take()!;
    wordyBytes(SIZE, 9).copy(Buffer.from(kept.plain));
    await queue.close();
    t.throws(() => queue.take(), /closed/);
    await queue.close();
    other.send(9, kept, [SIZE]);
    const { made } = await other.next();
    t.same(made.stored, [compress('zstd', wordyBytes(SIZE, 9))!.length]);
    await other.close();
  }
});
