import t from 'tap';
import { compress, compressBound, prepareCompressors } from '../../../lib/compress/compressors.js';
import { CompressorPool } from '../../../streams/threads/compressor-pool.js';
import { randomBytes, wordyBytes } from '../../support/random.js';

await prepareCompressors();
const OPTIONS = { compressor: 'lz4_block', workers: 2, slabSize: 0x10000 } as const;

t.test('slabs are a fixed number, and start no thread', async t => {
  const pool = new CompressorPool(OPTIONS);
  t.equal(pool.freeSlabs, 8);
  const taken = Array.from({ length: 8 }, () => pool.take());
  t.equal(new Set(taken).size, 8);
  t.equal(pool.freeSlabs, 0);
  pool.free(taken[1]!);
  t.equal(pool.freeSlabs, 1);
  t.equal(pool.take(), taken[1]);
  t.equal(pool.freeSlabs, 0);
  t.equal(pool.started, false);
  t.equal(taken[0]!.plain.byteLength, 0x10000);
  t.ok(taken[0]!.packed.byteLength >= compressBound(0x10000));
  pool.close();
  // large ones are few
  t.equal(new CompressorPool({ ...OPTIONS, slabSize: 0x400000 }).freeSlabs, 6);
  t.equal(new CompressorPool({ ...OPTIONS, slabSize: 0x1000000 }).freeSlabs, 4);
  t.equal(new CompressorPool({ ...OPTIONS, workers: 0 }).freeSlabs, 1);
});

t.test('a slab gives the stored size of each chunk, and what was compressed', async t => {
  const pool = new CompressorPool(OPTIONS);
  t.teardown(() => pool.close());
  const slabs = [1, 2, 3].map(seed => {
    const chunks = [
      wordyBytes(3000, seed),
      randomBytes(500, seed),
      Buffer.alloc(0),
      wordyBytes(9000, seed),
    ];
    const slab = pool.take();
    Buffer.concat(chunks).copy(Buffer.from(slab.plain));
    return { slab, chunks };
  });
  // all at once: more jobs than threads
  const answers = await Promise.all(
    slabs.map(
      ({ slab, chunks }) =>
        pool.pack(
          slab,
          chunks.map(({ length }) => length),
        ).done,
    ),
  );
  t.ok(pool.started);
  answers.forEach(({ stored }, i) => {
    const { slab, chunks } = slabs[i]!;
    const due = chunks.map(chunk => compress('lz4_block', chunk) ?? Buffer.alloc(0));
    t.same(
      stored,
      due.map(({ length }) => length),
    );
    const packed = Buffer.concat(due);
    t.ok(Buffer.from(slab.packed, 0, packed.length).equals(packed));
    t.ok(Buffer.from(slab.plain, 0, 12500).equals(Buffer.concat(chunks)), 'the chunks stay');
  });
});

t.test('while threads have enough to do, slabs are packed here', async t => {
  for (const workers of [0, 1, 2]) {
    const pool = new CompressorPool({ ...OPTIONS, workers });
    t.teardown(() => pool.close());
    const packings = [];
    const bytes = wordyBytes(0x10000, workers);
    const due = compress('lz4_block', bytes)!.length;
    for (let i = pool.freeSlabs; i > 0; i--) {
      const slab = pool.take();
      bytes.copy(Buffer.from(slab.plain));
      packings.push(pool.pack(slab, [0x10000]));
    }
    // one thread at first: it must have done something before another is started
    const elsewhere = workers === 0 ? 0 : 4;
    t.same(
      packings.map(({ isReady }) => isReady),
      packings.map((_, i) => i >= elsewhere),
      `${workers} threads`,
    );
    for (const { done } of packings) t.same((await done).stored, [due]);
    t.ok(packings.every(({ isReady }) => isReady));
    t.equal(pool.started, workers > 0);
  }
});

t.test('a slab full of noise has room', async t => {
  for (const compressor of ['zstd', 'lz4_block'] as const) {
    const pool = new CompressorPool({ ...OPTIONS, compressor });
    t.teardown(() => pool.close());
    const slab = pool.take();
    randomBytes(0x10000, 1).copy(Buffer.from(slab.plain));
    t.same((await pool.pack(slab, [0x10000]).done).stored, [0]);
    const ones = Array.from({ length: 0x10000 }, () => 1);
    t.same((await pool.pack(slab, ones).done).stored, Array(0x10000).fill(0));
    t.same((await pool.pack(slab, [0x8000, 0x7fff, 1]).done).stored, [0, 0, 0]);
  }
});

t.test('after a thread has failed every job fails', async t => {
  const pool = new CompressorPool({ ...OPTIONS, compressor: 'gzip' });
  t.teardown(() => pool.close());
  const slab = pool.take();
  const jobs = [1, 2, 3].map(() => pool.pack(slab, [10]).done);
  for (const job of jobs) await t.rejects(job, { message: /gzip is read, not written/ });
  await t.rejects(pool.pack(slab, [10]).done, { message: /gzip is read, not written/ });
});
