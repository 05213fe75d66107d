import fc from 'fast-check';
import t from 'tap';
import { windows, WINDOW } from '../../../lib/memory/windows.js';

t.test('items in any order, in one window or over many', async t => {
  fc.assert(
    fc.property(
      fc.nat(10_000),
      fc.array(fc.tuple(fc.nat(3 * WINDOW), fc.nat(WINDOW)), { maxLength: 6 }),
      fc.nat(),
      (start, sizes, turn) => {
        // gap, item, gap, item
        const items: { at: number; bytes: Buffer }[] = [];
        let end = start;
        for (const [size, gap] of sizes) {
          items.push({ at: end + gap, bytes: Buffer.alloc(size, items.length + 1) });
          end += gap + size;
        }
        end += 10;
        const order = items.map((_, i) => (i + turn) % items.length);
        const due = Buffer.alloc(end - start);
        for (const { at, bytes } of items) bytes.copy(due, at - start);
        const made = [
          ...windows({
            start,
            end,
            each(visit) {
              for (const i of order) visit(items[i]!.at, i);
            },
            write(item, from, window, put) {
              const { at, bytes } = items[item]!;
              t.ok(at >= from && at < from + window.length);
              put(at - from, bytes);
            },
          }),
        ];
        t.ok(made.every(({ length }, i) => length === WINDOW || i === made.length - 1));
        t.ok(Buffer.concat(made).equals(due));
      },
    ),
    { numRuns: 50 },
  );
});
