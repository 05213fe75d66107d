import t from 'tap';
import { restarting } from '../../../streams/convert/restarting.js';
import { TransientError } from '../../../streams/http/answer.js';

const never = new AbortController().signal;
const passing = (): TransientError => new TransientError('the connection broke', {});

/** Work that fails so often, and how often it was begun. */
const failing = (times: number, error: () => Error) => {
  const seen = { begun: 0 };
  const work = async (): Promise<string> => {
    seen.begun += 1;
    if (seen.begun <= times) throw error();
    return 'made';
  };
  return { work, seen };
};

t.test('what passes is tried three times', async t => {
  const twice = failing(2, passing);
  t.equal(await restarting(twice.work, never), 'made');
  t.equal(twice.seen.begun, 3);
  const always = failing(3, passing);
  await t.rejects(restarting(always.work, never), { message: 'the connection broke' });
  t.equal(always.seen.begun, 3);
});

t.test('what stays wrong, or was stopped, is not', async t => {
  const wrong = failing(1, () => new Error('a bad layer'));
  await t.rejects(restarting(wrong.work, never), { message: 'a bad layer' });
  t.equal(wrong.seen.begun, 1);
  const stopped = failing(1, passing);
  await t.rejects(restarting(stopped.work, AbortSignal.abort()));
  t.equal(stopped.seen.begun, 1);
});
