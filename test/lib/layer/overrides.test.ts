import t from 'tap';
import { override, parseOwner, parseTime } from '../../../lib/layer/overrides.js';
import { entryOf } from '../../support/images/entries.js';

t.test('owners and times as text', t => {
  t.same(parseOwner('5'), { uid: 5, gid: 5 });
  t.same(parseOwner('0:4294967295'), { uid: 0, gid: 4294967295 });
  for (const text of ['', ':', '1:', 'root', '-1', '4294967296', '1:2:3']) {
    t.throws(() => parseOwner(text), { code: 'USAGE' }, text);
  }
  t.equal(parseTime('1700000000', 'x'), 1700000000);
  for (const text of ['', 'now', '-1', '1.5', '99999999999999999999']) {
    t.throws(() => parseTime(text, 'x'), { code: 'USAGE', message: /in x/ }, text);
  }
  t.end();
});

t.test('later times are clamped, earlier ones stay', t => {
  for (const [mtime, mtimeNsec, due] of [
    [99, 7, [99, 7]],
    [100, 7, [100, 0]],
    [101, 7, [100, 0]],
  ] as const) {
    const entry = entryOf('file', 'f', { mtime, mtimeNsec, uid: 1, gid: 2 });
    override(entry, { mtimeClamp: 100 });
    t.match(entry, { mtime: due[0], mtimeNsec: due[1], uid: 1, gid: 2 });
    override(entry, { owner: { uid: 3, gid: 4 } });
    t.match(entry, { uid: 3, gid: 4 });
  }
  t.end();
});
