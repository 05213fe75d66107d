import t from 'tap';
import { newCounters, reporting, withSignal } from '../../../streams/image/run-options.js';

t.test('progress is told at the start and at the end, also of a failure', async t => {
  const told: number[] = [];
  const counters = newCounters();
  const made = await reporting(
    ({ bytesIn }) => told.push(bytesIn),
    counters,
    async () => {
      counters.bytesIn = 7;
      return 'made';
    },
  );
  t.equal(made, 'made');
  t.equal(told[0], 0);
  t.equal(told.at(-1), 7);
  const failed = reporting(
    ({ files }) => told.push(files),
    { ...counters, files: 3 },
    () => Promise.reject(new Error('no')),
  );
  await t.rejects(failed, { message: 'no' });
  t.equal(told.at(-1), 3);
});

t.test('without anyone to tell', async t => {
  t.equal(await reporting(undefined, newCounters(), async () => 1), 1);
  t.same(withSignal(undefined), {});
  const { signal } = new AbortController();
  t.equal(withSignal(signal).signal, signal);
});
