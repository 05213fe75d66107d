import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import { TransientError } from '../../../streams/http/answer.js';
import { PAUSES, retrying } from '../../../streams/http/retry.js';

const passing = new TransientError('later');
const lasting = new RafsError('BACKEND', 'never');

/** Fails with these, one after the other, then succeeds; says how often it was tried. */
const failing = (...errors: readonly Error[]) => {
  const calls = { count: 0 };
  const work = async (): Promise<number> => {
    const error = errors[calls.count++];
    if (error) throw error;
    return calls.count;
  };
  return { calls, work };
};

const { signal } = new AbortController();

t.test('what may pass is tried again, and no more often than there are pauses', async t => {
  t.equal(await retrying(failing().work, signal, [0, 0]), 1);
  t.equal(await retrying(failing(passing, passing).work, signal, [0, 0]), 3);
  const { calls, work } = failing(passing, passing, passing);
  await t.rejects(retrying(work, signal, [0, 0]), passing);
  t.equal(calls.count, 3);
});

t.test('what does not pass is not', async t => {
  for (const error of [lasting, new TypeError('x')]) {
    const { calls, work } = failing(passing, error);
    await t.rejects(retrying(work, signal, [0, 0]), error);
    t.equal(calls.count, 2);
  }
});

t.test('nobody waits when it is over', async t => {
  const stop = new AbortController();
  const running = retrying(failing(passing).work, stop.signal, [3_600_000]);
  setImmediate(() => stop.abort());
  await t.rejects(running, { name: 'AbortError' });
});

t.test('pauses grow, and end', async t => {
  t.ok(PAUSES.length > 1);
  t.ok(PAUSES.every((pause, i) => i === 0 || pause >= 2 * PAUSES[i - 1]!));
  t.ok(PAUSES.reduce((sum, pause) => sum + pause) < 5000);
});
