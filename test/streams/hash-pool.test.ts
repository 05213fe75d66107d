import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { blockDigests } from '../../lib/verity.js';
import { HashPool } from '../../streams/hash-pool.js';

t.test('the long run is one digest, in the order of the updates', async t => {
  const pool = new HashPool({ threads: 1, slabs: 3, slabSize: 1000 });
  const hash = createHash('sha256');
  for (let i = 0; i < 50; i++) {
    const slab = await pool.take();
    const bytes = randomBytes(1 + ((i * 37) % 1000));
    slab.set(bytes);
    hash.update(bytes);
    pool.update(slab, bytes.length);
  }
  t.equal(Buffer.from(await pool.digest()).toString('hex'), hash.digest('hex'));
  pool.close();
});

t.test('blocks of many slabs on several threads', async t => {
  const pool = new HashPool({ threads: 3, slabs: 4, slabSize: 4096 });
  const answers: Promise<Uint8Array>[] = [];
  const due: Uint8Array[] = [];
  for (let i = 0; i < 40; i++) {
    const slab = await pool.take();
    const bytes = randomBytes(512 * (1 + (i % 8)));
    slab.set(bytes);
    due.push(blockDigests(bytes, 512));
    answers.push(pool.blocks(slab, bytes.length, 512));
  }
  t.same(await Promise.all(answers), due);
  pool.close();
});

t.test('no more slabs than it may have', async t => {
  const pool = new HashPool({ threads: 1, slabs: 2, slabSize: 512 });
  const slabs = [await pool.take(), await pool.take()];
  t.equal(new Set(slabs.map(slab => slab.buffer)).size, 2);
  let taken = false;
  const third = Promise.resolve(pool.take()).then(slab => {
    taken = true;
    return slab;
  });
  await new Promise(resolve => setTimeout(resolve, 20));
  t.notOk(taken, 'waits for one of the two');
  pool.update(slabs[0]!, 512);
  t.equal((await third).buffer, slabs[0]!.buffer);
  pool.close();
});
