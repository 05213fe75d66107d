import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { DigestIndex } from '../../../lib/chunk/digest-index.js';

/** Digests that share their first bytes, where the index takes its hash from. */
const digestOf = (n: number): Buffer => {
  const digest = createHash('sha256').update(String(n)).digest();
  digest[0] = n % 3;
  digest.fill(0xff, 1, 4);
  return digest;
};

t.test('ordinals agree with a map of digests', async () => {
  const chunk = fc.record({ n: fc.nat(200), size: fc.constantFrom(1, 2, 0x1000000) });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 1500, size: 'max' }), chunks => {
      const index = new DigestIndex();
      const model = new Map<string, { uniqueIndex: number; size: number }>();
      let next = 0;
      for (const { n, size } of chunks) {
        const digest = digestOf(n);
        const got = index.add(digest, size);
        const first = model.get(digest.toString('hex'));
        if (first?.size === size) {
          if (!got.known || got.uniqueIndex !== first.uniqueIndex) return false;
        } else {
          if (got.known || got.uniqueIndex !== next) return false;
          if (!first) model.set(digest.toString('hex'), { uniqueIndex: next, size });
          next++;
        }
        if (index.count !== next) return false;
      }
      return true;
    }),
    { numRuns: 50 },
  );
});

t.test('an equal digest of another size is new every time, and the first stays known', async t => {
  const index = new DigestIndex();
  const digest = digestOf(1);
  t.same(index.add(digest, 10), { uniqueIndex: 0, known: false });
  t.same(index.add(digest, 20), { uniqueIndex: 1, known: false });
  t.same(index.add(digest, 20), { uniqueIndex: 2, known: false });
  t.same(index.add(digest, 10), { uniqueIndex: 0, known: true });
  t.equal(index.count, 3);
});

t.test('it keeps no view of the digest it is given', async t => {
  const index = new DigestIndex();
  const digest = digestOf(1);
  index.add(digest, 1);
  digest.fill(0, 8);
  t.same(index.add(digestOf(1), 1), { uniqueIndex: 0, known: true });
});

t.test('a hundred thousand chunks', async t => {
  const index = new DigestIndex();
  const digest = (i: number) => createHash('sha256').update(String(i)).digest();
  for (let i = 0; i < 100000; i++) {
    if (index.add(digest(i), i + 1).uniqueIndex !== i) t.fail(`chunk ${i}`);
  }
  for (let i = 0; i < 100000; i += 997)
    t.same(index.add(digest(i), i + 1), { uniqueIndex: i, known: true });
});

t.test('what is appended is found once it is offered, unless another is', async t => {
  const index = new DigestIndex();
  t.equal(index.append(digestOf(1), 10), 0);
  t.equal(index.append(digestOf(1), 20), 1);
  t.same(index.add(digestOf(2), 5), { uniqueIndex: 2, known: false });
  index.offer(1);
  index.offer(0);
  t.same(index.add(digestOf(1), 20), { uniqueIndex: 1, known: true });
  t.same(index.add(digestOf(1), 10), { uniqueIndex: 3, known: false });
  t.equal(index.count, 4);
});
