import fc from 'fast-check';
import t from 'tap';
import { Largest } from '../../../lib/report/largest.js';

t.test('what is kept is what sorting gives', async t => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), fc.integer({ min: 1, max: 6 }), (weights, room) => {
      const largest = new Largest<{ weight: number; i: number }>(room, ({ weight }) => weight);
      const all = weights.map((weight, i) => ({ weight, i }));
      for (const one of all) largest.add(one);
      const due = [...all].sort((a, b) => b.weight - a.weight).slice(0, room);
      t.strictSame(largest.sorted(), due);
    }),
  );
});
