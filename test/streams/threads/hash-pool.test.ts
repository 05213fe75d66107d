import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { ChunkHashes } from '../../../lib/chunk/chunk-hashes.js';
import { crc32cPlain } from '../../../lib/crypto/digest.js';
import { blockDigests } from '../../../lib/device/verity.js';
import { HashPool } from '../../../streams/threads/hash-pool.js';

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
  await pool.close();
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
  await pool.close();
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
  const answer = pool.blocks(slabs[0]!, 512, 512);
  await answer;
  t.equal((await third).length, 512);
  await pool.close();
});

t.test('chunks that lie one behind another', async t => {
  const pool = new HashPool({ threads: 1, slabs: 2, slabSize: 10_000 });
  const slab = await pool.take();
  const bytes = randomBytes(9_001);
  slab.set(bytes);
  const sizes = [1, 4096, 0, 4904];
  const made = await pool.chunks(slab, sizes);
  t.equal(made.length, sizes.length * 36);
  const hashes = new ChunkHashes(made);
  let from = 0;
  sizes.forEach((size, i) => {
    const chunk = bytes.subarray(from, from + size);
    const digest = createHash('sha256').update(chunk).digest();
    t.ok(digest.equals(hashes.digest(i)), `digest of ${size} bytes`);
    t.equal(hashes.checksums[i], crc32cPlain(chunk), `checksum of ${size} bytes`);
    from += size;
  });
  await pool.close();
});
