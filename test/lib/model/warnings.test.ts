import t from 'tap';
import { saidOnce } from '../../../lib/model/warnings.js';

t.test('each warning is said once, and not any number of them', async t => {
  const heard: string[] = [];
  const warn = saidOnce(message => heard.push(message));
  for (let i = 0; i < 1000; i++) warn(`warning ${i % 3}`);
  t.same(heard, ['warning 0', 'warning 1', 'warning 2']);
  for (let i = 0; i < 1000; i++) warn(`another ${i}`);
  t.equal(heard.length, 101);
  t.equal(heard.at(-1), 'there are more warnings of this kind');
});
