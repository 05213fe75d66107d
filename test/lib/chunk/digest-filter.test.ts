import t from 'tap';
import { sha256 } from '../../../lib/crypto/digest.js';
import { DigestFilter } from '../../../lib/chunk/digest-filter.js';

const digestOf = (n: number): Buffer => sha256(Buffer.from(String(n)));

t.test('has what was added, in another thread too, and hardly anything else', t => {
  const filter = DigestFilter.for(0);
  const other = new DigestFilter(filter.memory);
  for (let n = 0; n < 1000; n++) {
    t.notOk(filter.mayHave(digestOf(n)), 'not yet');
    filter.add(digestOf(n));
    t.ok(other.mayHave(digestOf(n)));
  }
  for (let n = 1000; n < 10_000; n++) if (other.mayHave(digestOf(n))) t.fail(`never added ${n}`);
  t.end();
});

t.test('a digest with bytes of zero is one as well', t => {
  const filter = DigestFilter.for(0);
  const zero = Buffer.alloc(32);
  t.notOk(filter.mayHave(zero));
  filter.add(zero);
  t.ok(filter.mayHave(zero));
  t.end();
});

t.test('forgets, rather than grow', t => {
  const filter = DigestFilter.for(50_000);
  const size = filter.memory.byteLength;
  for (let n = 0; n < 50_000; n++) filter.add(digestOf(n));
  t.equal(filter.memory.byteLength, size);
  let held = 0;
  for (let n = 0; n < 50_000; n++) if (filter.mayHave(digestOf(n))) held++;
  t.ok(held > 30_000 && held < 50_000, `${held} are held`);
  for (let n = 40_000; n < 41_000; n++) filter.add(digestOf(n));
  t.ok(filter.mayHave(digestOf(40_999)), 'the last always is');
  t.end();
});

t.test('has room for as many as it is told of', t => {
  t.equal(DigestFilter.for(1_000_000).memory.byteLength, 4 * 2 ** 21);
  t.end();
});
