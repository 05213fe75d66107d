import fc from 'fast-check';
import t from 'tap';
import { whiteoutOf, whiteoutTarget, type WhiteoutEntry } from '../../../lib/layer/whiteout.js';

const file = (path: string): WhiteoutEntry => ({ path, type: 'file', rdev: 0 });
const opaque = (value: string, name = 'trusted.overlay.opaque'): WhiteoutEntry => ({
  path: 'd',
  type: 'directory',
  rdev: 0,
  xattrs: new Map([[name, Buffer.from(value)]]),
});

t.test('OCI whiteouts are told by their name, whatever their type', async t => {
  t.equal(whiteoutOf('oci', file('a/.wh.b')), 'removal');
  t.equal(whiteoutOf('oci', { ...file('.wh.b'), type: 'directory' }), 'removal');
  t.equal(whiteoutOf('oci', file('a/.wh..wh..opq')), 'opaque');
  t.equal(whiteoutOf('oci', file('.wh..wh..opq')), 'opaque');
  t.equal(whiteoutOf('oci', file('.wh..wh.plnk')), 'removal');
  for (const path of ['', 'a.wh.b', '.wh', '.wh.d/file', '.WH.b']) {
    t.equal(whiteoutOf('oci', file(path)), undefined, path);
  }
  t.equal(whiteoutOf('oci', opaque('y')), undefined);
});

t.test('an OCI name that is not UTF-8 deletes, too', async t => {
  t.equal(whiteoutOf('oci', file('.wh.\xff')), 'removal');
});

t.test('an OCI whiteout has to name something', async t => {
  for (const name of ['.wh.', '.wh..', '.wh...']) {
    t.throws(() => whiteoutOf('oci', file(`a/${name}`)), {
      code: 'CORRUPT',
      message: `the whiteout '${name}' does not name anything to delete`,
      at: { path: `a/${name}` },
    });
  }
});

t.test('overlayfs whiteouts are devices 0/0 and opaque directories', async t => {
  t.equal(whiteoutOf('overlayfs', { path: 'x', type: 'char', rdev: 0 }), 'removal');
  t.equal(whiteoutOf('overlayfs', { path: 'x', type: 'char', rdev: 0x103 }), undefined);
  t.equal(whiteoutOf('overlayfs', { path: 'x', type: 'block', rdev: 0 }), undefined);
  t.equal(whiteoutOf('overlayfs', opaque('y')), 'opaque');
  for (const value of ['', 'n', 'yy', 'Y']) {
    t.equal(whiteoutOf('overlayfs', opaque(value)), undefined, value);
  }
  t.equal(whiteoutOf('overlayfs', opaque('y', 'user.overlay.opaque')), undefined);
  t.equal(whiteoutOf('overlayfs', { ...opaque('y'), type: 'file' }), undefined);
  t.equal(whiteoutOf('overlayfs', file('.wh.b')), undefined);
});

t.test('without a kind there are no whiteouts', async t => {
  t.equal(whiteoutOf('none', file('.wh.b')), undefined);
  t.equal(whiteoutOf('none', { path: 'x', type: 'char', rdev: 0 }), undefined);
  t.equal(whiteoutOf('none', opaque('y')), undefined);
});

t.test('targets', async t => {
  t.equal(whiteoutTarget('oci', file('.wh.b')), 'b');
  t.equal(whiteoutTarget('oci', file('a/c/.wh.b')), 'a/c/b');
  t.equal(whiteoutTarget('oci', file('a/c/.wh..wh..opq')), 'a/c');
  t.equal(whiteoutTarget('oci', file('.wh..wh..opq')), '', 'the root');
  t.equal(whiteoutTarget('overlayfs', file('a/x')), 'a/x');
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[a-z]{1,4}$/)),
      fc.stringMatching(/^[a-z.]+$/),
      (d, n) => {
        fc.pre(!['.', '..', '.wh..opq'].includes(n));
        const parent = d.map(name => `${name}/`).join('');
        const entry = file(`${parent}.wh.${n}`);
        t.equal(whiteoutOf('oci', entry), 'removal');
        t.equal(whiteoutTarget('oci', entry), parent + n);
      },
    ),
  );
});
