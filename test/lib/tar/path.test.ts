import fc from 'fast-check';
import t from 'tap';
import { isUnplainPath, normalPath } from '../../../lib/tar/path.js';

t.test('paths lose what has no meaning', t => {
  for (const [name, path] of [
    ['', ''],
    ['.', ''],
    ['./', ''],
    ['/', ''],
    ['.//', ''],
    ['a', 'a'],
    ['/a', 'a'],
    ['./a', 'a'],
    ['././a', 'a'],
    ['a/', 'a'],
    ['a//', 'a'],
    ['a/./b', 'a/b'],
    ['a//b/.', 'a/b'],
    ['//a', 'a'],
    ['.a', '.a'],
    ['./.a/..b/...', '.a/..b/...'],
    ['a..', 'a..'],
    ['a b', 'a b'],
  ] as const) {
    t.equal(normalPath(name), path, JSON.stringify(name));
    t.equal(isUnplainPath(name), name !== path || path === '', JSON.stringify(name));
  }
  for (const name of ['..', '../a', 'a/../b', 'a/..', './..', '/..']) {
    t.throws(() => normalPath(name), { code: 'CORRUPT', at: { path: name } });
    t.equal(isUnplainPath(name), true);
  }
  t.throws(() => normalPath('a\0b'), { code: 'CORRUPT' });
  t.throws(() => normalPath('a//\0b'), { code: 'CORRUPT' });
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', '.', '/'), maxLength: 12 }), name => {
      const parts = name.split('/').filter(part => part !== '' && part !== '.');
      if (parts.includes('..')) t.throws(() => normalPath(name), { code: 'CORRUPT' });
      else t.equal(normalPath(name), parts.join('/'));
    }),
  );
  t.end();
});
