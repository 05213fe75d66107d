import t from 'tap';
import * as formats from '../../lib/formats.js';

t.test('the entry for formats has what it says', async t => {
  t.type(formats.parseBootstrap, 'function');
  t.type(formats.walk, 'function');
  for (const [name, value] of Object.entries(formats)) t.ok(value !== undefined, name);
});
