import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { HashPool } from '../../../streams/threads/hash-pool.js';
import { LongHash } from '../../../streams/threads/long-hash.js';
import { randomBytes } from '../../support/random.js';

const SLAB = 0x4000;
const hexOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const poolOf = (t: Test): HashPool => {
  const pool = new HashPool({ threads: 1, slabs: 2, slabSize: SLAB });
  t.teardown(() => pool.close());
  return pool;
};

t.test('of nothing, of a slab, and of many, in whatever pieces', async t => {
  const bytes = randomBytes(10 * SLAB, 1);
  for (const size of [0, 1, SLAB - 1, SLAB, SLAB + 1, 5 * SLAB, 10 * SLAB]) {
    for (const piece of [777, SLAB, 3 * SLAB]) {
      const pool = poolOf(t);
      const hash = new LongHash(pool);
      for (let at = 0; at < size; at += piece) {
        const part = Buffer.from(bytes.subarray(at, Math.min(size, at + piece)));
        await hash.add(part);
        part.fill(0); // it is ours again
      }
      t.equal(hash.size, size);
      t.equal(pool.started, size > SLAB, 'a thread only for more than a slab');
      t.equal(await hash.digest(), hexOf(bytes.subarray(0, size)), `${size} in ${piece}`);
    }
  }
});

t.test('beside hashes of chunks in the same thread', async t => {
  const pool = poolOf(t);
  const hash = new LongHash(pool);
  await hash.add(Buffer.from('first '));
  const slab = await pool.take();
  slab.write('chunk');
  const made = await pool.chunks(slab, [5]);
  await hash.add(Buffer.from('second'));
  t.equal(await hash.digest(), hexOf(Buffer.from('first second')));
  t.equal(Buffer.from(made.subarray(0, 32)).toString('hex'), hexOf(Buffer.from('chunk')));
});
