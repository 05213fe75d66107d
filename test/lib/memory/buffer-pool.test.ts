import fc from 'fast-check';
import t from 'tap';
import { BufferPool, BufferFlow, PooledCopies } from '../../../lib/memory/buffer-pool.js';

t.test('what was taken before is used again, and nothing else', t => {
  const pool = new BufferPool(100);
  const [a, b, c] = [pool.take(), pool.take(), pool.take()];
  t.equal(a.length, 100);
  pool.releaseBefore(Buffer.alloc(1)); // of no pool
  pool.releaseBefore(a);
  t.not(pool.take().buffer, a.buffer, 'a is being looked at');
  pool.releaseBefore(c.subarray(10, 20));
  const again = [pool.take().buffer, pool.take().buffer];
  t.same(new Set(again), new Set([a.buffer, b.buffer]), 'a and b are free, c is not');
  pool.releaseBefore(a);
  t.not(pool.take().buffer, c.buffer, 'a is behind c now, but c was passed only by going there');
  t.end();
});

t.test('buffers that nobody speaks of are let go', t => {
  const pool = new BufferPool(0x1000000);
  const first = pool.take();
  const held = [pool.take(), pool.take()];
  pool.releaseBefore(held[1]!);
  const taken = [pool.take(), pool.take()].map(({ buffer }) => buffer);
  t.notOk(taken.includes(first.buffer), 'more than two of 16 MiB are not kept track of');
  pool.clear();
  pool.releaseBefore(pool.take());
  t.not(pool.take().buffer, held[1]!.buffer, 'after clear() there are none to use again');
  t.end();
});

t.test('copies stay what they are until they are passed', t => {
  const sizes = fc.array(fc.integer({ min: 0, max: 64 }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 20 }), (sizes, lag) => {
      const pool = new BufferPool(64);
      const copies = new PooledCopies(pool);
      const flying: { copy: Buffer; byte: number }[] = [];
      sizes.forEach((size, i) => {
        flying.push({ copy: copies.copyOf(Buffer.alloc(size, i)), byte: i % 256 });
        if (flying.length > lag) pool.releaseBefore(flying.shift()!.copy);
        for (const { copy, byte } of flying) {
          if (!copy.every(value => value === byte)) throw new Error(`${byte} was written over`);
        }
      });
    }),
  );
  t.throws(() => new PooledCopies(new BufferPool(10)).copyOf(Buffer.alloc(11)), {
    message: '11 bytes are over 10',
  });
  t.end();
});

t.test('a join is passed like the last piece that is in it', t => {
  const pieces = new BufferPool(0x20000);
  const flow = new BufferFlow([pieces], 0x40000);
  const [a, b] = [pieces.take(), pieces.take()];
  const join = flow.join(0x30000, b.subarray(5));
  t.equal(join.length, 0x30000);
  flow.reached(join);
  t.equal(pieces.take().buffer, a.buffer, 'a is free');
  t.not(pieces.take().buffer, b.buffer, 'b is not: it goes on behind the join');
  t.not(flow.join(0x30000, b).buffer, join.buffer, 'nor is the join');
  t.end();
});

t.test('small joins share buffers, which are used again', t => {
  const pieces = new BufferPool(16);
  const flow = new BufferFlow([pieces], 0x100000);
  const last = pieces.take();
  const join = (): Buffer => flow.join(0xc000, last);
  const first = Array.from({ length: 5 }, join);
  t.same(new Set(first.map(({ buffer }) => buffer)).size, 1);
  t.same(new Set(first.map(({ byteOffset }) => byteOffset)).size, 5, 'each has its own part of it');
  const second = Array.from({ length: 5 }, join);
  t.not(second[0]!.buffer, first[0]!.buffer);
  flow.reached(first[4]!);
  t.not(join().buffer, first[0]!.buffer, 'none comes before the first');
  flow.reached(second[0]!);
  for (let i = 0; i < 4; i++) join();
  t.equal(join().buffer, first[0]!.buffer);
  t.end();
});
