import t from 'tap';
import { meter } from '../../../streams/build/meter.js';
import { collect } from '../../support/stream/stage.js';

t.test('counts entries and passes everything', async t => {
  for (const batch of [1, 2, 100]) {
    for (const slow of [false, true]) {
      const counters = { files: 3 };
      const parts = Array.from({ length: 40 }, (_, i) => ({
        kind: ['entry', 'data', 'data', 'end'][i % 4]!,
        i,
      }));
      const out = await collect(meter(counters), parts, { batch, slow });
      t.same(out, parts, 'the same parts, in their order');
      t.equal(counters.files, 13, 'goes on from where it stood');
    }
  }
});

t.test('nothing comes', async t => {
  const counters = { files: 0 };
  t.same(await collect(meter(counters), []), []);
  t.equal(counters.files, 0);
});
