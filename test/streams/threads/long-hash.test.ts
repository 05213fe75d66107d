import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { LongHash } from '../../../streams/threads/long-hash.js';
import { ThreadPool } from '../../../streams/threads/thread-pool.js';
import { randomBytes } from '../../support/random.js';

const SLAB = 0x100000;
const hexOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const poolOf = (t: Test): ThreadPool => {
  const pool = new ThreadPool();
  t.teardown(() => pool.close());
  return pool;
};

t.test('of nothing, of a slab, and of many, in whatever pieces', async t => {
  const bytes = randomBytes(10 * SLAB, 1);
  for (const size of [0, 1, SLAB, SLAB + 1, 2 * SLAB, 10 * SLAB - 1]) {
    for (const piece of [77_777, SLAB, 3 * SLAB]) {
      const pool = poolOf(t);
      const hash = new LongHash({ slabs: 4, pool });
      for (let at = 0; at < size; at += piece) {
        const part = Buffer.from(bytes.subarray(at, Math.min(size, at + piece)));
        await hash.add(part);
        part.fill(0); // it is ours again
      }
      t.equal(hash.size, size);
      t.equal(pool.size, size < 2 * SLAB ? 0 : 1, 'a thread only for more than a few bytes');
      t.equal(await hash.digest(), hexOf(bytes.subarray(0, size)), `${size} in ${piece}`);
      await hash.close();
    }
  }
});

t.test('several at once in one thread', async t => {
  const pool = poolOf(t);
  const hashes = [1, 2, 3].map(() => new LongHash({ slabs: 4, pool }));
  const bytes = randomBytes(5 * SLAB, 2);
  for (let at = 0; at < bytes.length; at += SLAB / 2) {
    for (const hash of hashes) await hash.add(bytes.subarray(at, at + SLAB / 2));
  }
  t.equal(pool.size, 1);
  for (const hash of hashes) t.equal(await hash.digest(), hexOf(bytes));
  await Promise.all(hashes.map(hash => hash.close()));
});

t.test('given up in the middle', async t => {
  const pool = poolOf(t);
  const hash = new LongHash({ slabs: 4, pool });
  await hash.add(randomBytes(7 * SLAB, 3));
  await hash.close();
  const next = new LongHash({ slabs: 4, pool });
  await next.add(randomBytes(7 * SLAB, 4));
  t.equal(await next.digest(), hexOf(randomBytes(7 * SLAB, 4)));
  await next.close();
});
