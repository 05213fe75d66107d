import t from 'tap';
import { withExtension, held, shown } from '../../../lib/model/names.js';

const bytes = (text: string): string => Buffer.from(text).toString('latin1');

t.test('shown names', t => {
  t.equal(shown(bytes('grün')), 'grün');
  t.equal(shown('\xff'), '\ufffd');
  t.end();
});

t.test('held names are those that are shown', t => {
  t.equal(held('grün'), bytes('grün'));
  t.equal(held(Buffer.from([0xff])), '\xff');
  t.end();
});

t.test('a path with another extension', t => {
  for (const [path, due] of [
    ['/x/l2.boot', '/x/l2.external'],
    ['./a.b/c', './a.b/c.external'],
    ['a.b.c', 'a.b.external'],
    ['.hidden', '.hidden.external'],
  ] as const) {
    t.equal(withExtension(path, 'external'), due);
  }
  t.end();
});
