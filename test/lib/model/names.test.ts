import t from 'tap';
import { held, shown } from '../../../lib/model/names.js';

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
