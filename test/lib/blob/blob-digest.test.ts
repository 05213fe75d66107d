import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { BlobDigest, isDigestName } from '../../../lib/blob/blob-digest.js';

const sha256 = (...parts: Buffer[]): string =>
  createHash('sha256').update(Buffer.concat(parts)).digest('hex');

t.test('the digests do not depend on how the bytes come', t => {
  let runs = 0;
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.array(fc.nat(300), { minLength: 4, maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1 }),
      (content, places, sizes) => {
        const bytes = Buffer.from(content);
        const [a, b, c, d] = places.map(place => place % (bytes.length + 1)).sort((x, y) => x - y);
        const data = { start: a!, end: b! };
        const unnamed = { start: c!, end: d! };
        const digest = new BlobDigest({ data, unnamed });
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length]!;
          digest.update(bytes.subarray(at, at + size));
          at += size;
        }
        const names = digest.names();
        if (names[0] !== sha256(bytes)) throw new Error('of all bytes');
        const rest = sha256(bytes.subarray(0, c), bytes.subarray(d));
        if (c! < bytes.length && names[1] !== rest) throw new Error('of the named bytes');
        if (a! < b! && digest.data !== sha256(bytes.subarray(a, b))) throw new Error('of the data');
        runs += 1;
      },
    ),
  );
  t.ok(runs >= 100);
  t.end();
});

t.test('without ranges there is one name, and data that have not passed have no digest', t => {
  const digest = new BlobDigest({ data: { start: 0, end: 9 } });
  digest.update(Buffer.from('abc'));
  t.equal(digest.data, undefined);
  t.same(digest.names(), [sha256(Buffer.from('abc'))]);
  t.end();
});

t.test('names that can be digests', t => {
  t.ok(isDigestName('0a'.repeat(32)));
  for (const name of ['', 'boot', '0A'.repeat(32), '0a'.repeat(31), `${'0a'.repeat(32)}.boot`]) {
    t.notOk(isDigestName(name), name);
  }
  t.end();
});
