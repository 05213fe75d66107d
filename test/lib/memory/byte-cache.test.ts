import fc from 'fast-check';
import t from 'tap';
import { BUFFER_SIZE, byteCache } from '../../../lib/memory/byte-cache.js';

const costOf = (items: readonly { bytes: Buffer }[]): number =>
  items.reduce((sum, { bytes }) => sum + bytes.length + BUFFER_SIZE, 0);

t.test('what was used last is there, as far as there is room', async t => {
  fc.assert(
    fc.property(
      fc.nat(1500),
      fc.array(fc.record({ key: fc.nat(9), size: fc.nat(600), set: fc.boolean() }), {
        maxLength: 60,
      }),
      (limit, steps) => {
        const cache = byteCache(limit);
        let naive: { key: number; bytes: Buffer }[] = []; // used last comes last
        for (const { key, size, set } of steps) {
          const known = naive.find(item => item.key === key);
          if (set) {
            const bytes = Buffer.alloc(size);
            cache.set(key, bytes);
            naive = naive.filter(item => item !== known);
            if (costOf([{ bytes }]) <= limit) naive.push({ key, bytes });
            while (costOf(naive) > limit) naive.shift();
          } else {
            t.equal(cache.get(key), known?.bytes);
            if (known) naive = [...naive.filter(item => item !== known), known];
          }
          t.equal(cache.calculatedSize, costOf(naive));
        }
      },
    ),
  );
});
