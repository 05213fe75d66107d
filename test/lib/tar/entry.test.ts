import t from 'tap';
import { entryOf, isIgnored, targetOf, textOf } from '../../../lib/tar/entry.js';
import { readHeader } from '../../../lib/tar/header.js';
import { memberOf } from '../../support/tar/tar.js';

t.test('what a header says, and PAX records say instead', async t => {
  const block = memberOf({ name: 'f', mode: 0o4755, uid: 5, gid: 6, mtime: 1_700_000_000 });
  const header = readHeader(block, 0);
  const { mode, uid, gid, mtime } = entryOf(header, 'file', 'f', {});
  t.same([mode, uid, gid, mtime], [0o4755, 5, 6, 1_700_000_000]);
  const owned = entryOf(header, 'file', 'f', { uid: 70_000, gid: 80_000 });
  t.same([owned.uid, owned.gid], [70_000, 80_000]);
  t.throws(() => entryOf(header, 'file', 'f', { uid: 2 ** 32 }), { code: 'LIMIT' });
});

t.test('targets of symlinks stay as they are, those of hardlinks are paths', async t => {
  t.equal(targetOf('symlink', './a//b/'), './a//b/');
  t.equal(targetOf('hardlink', './a//b'), 'a/b');
  for (const [type, name] of [
    ['symlink', ''],
    ['hardlink', ''],
    ['hardlink', './'],
  ] as const) {
    t.throws(() => targetOf(type, name), { code: 'CORRUPT' }, `${type} '${name}'`);
  }
});

t.test('files that only describe the layer, and long names', async t => {
  t.equal(isIgnored('stargz.index.json'), true);
  t.equal(isIgnored('a/stargz.index.json'), false);
  t.equal(isIgnored('.no.prefetch.landmark'), true);
  t.equal(textOf(Buffer.from('name\0rest')), 'name');
  t.equal(textOf(Buffer.from([0xff, 0x41])), '\xffA');
});
