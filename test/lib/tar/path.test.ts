import path from 'node:path';
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
  for (const [name, path, clamped] of [
    ['..', '', true],
    ['../a', 'a', true],
    ['a/../b', 'b', false],
    ['a/..', '', false],
    ['./..', '', true],
    ['/..', '', true],
    ['a/../../b/./c', 'b/c', true],
  ] as const) {
    let told = 0;
    t.equal(
      normalPath(name, () => told++),
      path,
      name,
    );
    t.equal(told, clamped ? 1 : 0, 'whether it leads out of the root');
    t.equal(isUnplainPath(name), true);
  }
  t.throws(() => normalPath('a\0b'), { code: 'CORRUPT' });
  t.throws(() => normalPath('a//\0b'), { code: 'CORRUPT' });
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', '.', '/'), maxLength: 12 }), name => {
      t.equal(normalPath(name), path.posix.resolve('/', name).slice(1));
    }),
  );
  t.end();
});
