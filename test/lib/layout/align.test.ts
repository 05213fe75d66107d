import fc from 'fast-check';
import t from 'tap';
import { alignDown, alignUp } from '../../../lib/layout/align.js';

t.test('alignUp and alignDown enclose a value', async () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31 - 1), fc.nat(24), fc.nat(2 ** 20), (low, bits, high) => {
      const value = high * 2 ** 32 + low;
      const unit = 2 ** bits;
      const up = alignUp(value, unit);
      const down = alignDown(value, unit);
      return (
        up % unit === 0 &&
        down % unit === 0 &&
        down <= value &&
        value <= up &&
        up - value < unit &&
        value - down < unit
      );
    }),
  );
});
