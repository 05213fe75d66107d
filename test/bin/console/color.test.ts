import t from 'tap';
import { colored, highlight, paint } from '../../../bin/console/color.js';

const plain = (text: string): string => text.replace(/\x1b\[\d+m/g, ''); // eslint-disable-line no-control-regex

t.test('colours are for terminals, unless NO_COLOR', async t => {
  t.equal(colored(true, {}), true);
  t.equal(colored(true, { NO_COLOR: '' }), true); // set to nothing is not set
  t.equal(colored(true, { NO_COLOR: '1' }), false);
  t.equal(colored(false, {}), false);
  t.equal(colored(undefined, {}), false);
});

t.test('paint and highlight change nothing but colours', async t => {
  t.equal(plain(paint('red', 'x y')), 'x y');
  const text = 'error: a\n\nUsage: p [OPTIONS]\n\nOptions:\n  x error: Usage:\n';
  const marked = highlight(text);
  t.equal(plain(marked), text);
  if (paint('red', 'x') === 'x') {
    t.pass('nothing is marked', { skip: 'this Node has no colours' });
    return;
  }
  t.ok(marked.startsWith(paint('red', 'error:')));
  t.match(marked, `${paint('bold', 'Usage:')} p`);
  t.match(marked, '  x error: Usage:\n');
});
