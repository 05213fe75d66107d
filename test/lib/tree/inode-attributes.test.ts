import t from 'tap';
import { isLikeImplied } from '../../../lib/tree/inode-attributes.js';

t.test('what may be a directory that nothing describes', async t => {
  const facts = { uid: 0, gid: 0, mtime: 0, mtimeNsec: 0, size: 4096, rdev: 0xffffffff };
  const implied = { ...facts, mode: 0o40755 };
  t.equal(isLikeImplied(implied), true);
  t.equal(isLikeImplied({ ...implied, xattrs: new Map() }), true);
  for (const more of [
    { mode: 0o40700 },
    { mode: 0o100755 },
    { uid: 1 },
    { gid: 1 },
    { mtime: 1 },
    { mtimeNsec: 1 },
    { xattrs: new Map([['user.a', Buffer.from('1')]]) },
  ]) {
    t.equal(isLikeImplied({ ...implied, ...more }), false, JSON.stringify(more));
  }
});
