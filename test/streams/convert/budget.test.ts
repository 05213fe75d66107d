/** How much is done at once. */
import fc from 'fast-check';
import t from 'tap';
import { Budget } from '../../../streams/convert/budget.js';

t.test('what runs at once fits, and everything runs, whatever fails', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ weight: fc.integer({ min: 1, max: 15 }), fails: fc.boolean() }), {
        maxLength: 30,
      }),
      async jobs => {
        const budget = new Budget(10);
        let [used, running, done] = [0, 0, 0];
        const results = await Promise.allSettled(
          jobs.map(({ weight, fails }) =>
            budget.run(weight, async () => {
              used += weight;
              running++;
              if (used > 10 && running > 1) throw new Error(`${used} at once`);
              await new Promise(resolve => setImmediate(resolve));
              used -= weight;
              running--;
              done++;
              if (fails) throw new RangeError('as planned');
            }),
          ),
        );
        const failed = results.filter(one => one.status === 'rejected');
        return (
          done === jobs.length &&
          failed.length === jobs.filter(({ fails }) => fails).length &&
          failed.every(one => one.reason instanceof RangeError)
        );
      },
    ),
  );
  t.pass('always');
});
