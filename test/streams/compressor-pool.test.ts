import t from 'tap';
import { compress, compressBound, prepareCompressors } from '../../lib/compress.js';
import { CompressorPool } from '../../streams/compressor-pool.js';
import { randomBytes, wordyBytes } from '../support/random.js';

await prepareCompressors();
const OPTIONS = { compressor: 'lz4_block', workers: 2, slabs: 3, slabSize: 0x10000 } as const;

t.test('slabs are a fixed number, and start no thread', async t => {
  const pool = new CompressorPool(OPTIONS);
  t.equal(pool.freeSlabs, 3);
  const taken = [pool.take(), pool.take(), pool.take()];
  t.equal(new Set(taken).size, 3);
  t.equal(pool.freeSlabs, 0);
  pool.free(taken[1]!);
  t.equal(pool.freeSlabs, 1);
  t.equal(pool.take(), taken[1]);
  t.equal(pool.freeSlabs, 0);
  t.equal(pool.started, false);
  t.equal(taken[0]!.plain.byteLength, 0x10000);
  t.ok(taken[0]!.packed.byteLength >= compressBound(0x10000));
  pool.close();
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
    slabs.map(({ slab, chunks }) =>
      pool.pack(
        slab,
        chunks.map(({ length }) => length),
      ),
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

t.test('a slab full of noise has room', async t => {
  for (const compressor of ['zstd', 'lz4_block'] as const) {
    const pool = new CompressorPool({ ...OPTIONS, compressor });
    t.teardown(() => pool.close());
    const slab = pool.take();
    randomBytes(0x10000, 1).copy(Buffer.from(slab.plain));
    t.same((await pool.pack(slab, [0x10000])).stored, [0]);
    const ones = Array.from({ length: 0x10000 }, () => 1);
    t.same((await pool.pack(slab, ones)).stored, Array(0x10000).fill(0));
    t.same((await pool.pack(slab, [0x8000, 0x7fff, 1])).stored, [0, 0, 0]);
  }
});

t.test('after a thread has failed every job fails', async t => {
  const pool = new CompressorPool({ ...OPTIONS, compressor: 'gzip' });
  t.teardown(() => pool.close());
  const slab = pool.take();
  const jobs = [1, 2, 3].map(() => pool.pack(slab, [10]));
  for (const job of jobs) await t.rejects(job, { message: /gzip is read, not written/ });
  await t.rejects(pool.pack(slab, [10]), { message: /gzip is read, not written/ });
});
