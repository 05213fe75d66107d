import t from 'tap';
import { MOST_MANIFEST, parseDigest } from '../../../lib/oci/descriptor.js';

t.test('digests have an algorithm that can be checked, and its length', async t => {
  const hex = '0123456789abcdef'.repeat(4);
  t.same(parseDigest(`sha256:${hex}`), { algorithm: 'sha256', hex });
  t.same(parseDigest(`sha512:${hex}${hex}`), { algorithm: 'sha512', hex: hex + hex });
  for (const bad of ['', 'sha256', `sha256:${hex}0`, `sha256:${hex.toUpperCase()}`, 'sha256:']) {
    t.throws(() => parseDigest(bad), { name: 'RafsError' }, bad);
  }
  for (const odd of [`md5:${hex}`, `constructor:${hex}`, `__proto__:${hex}`]) {
    t.throws(() => parseDigest(odd), { code: 'UNSUPPORTED' }, odd);
  }
  t.equal(MOST_MANIFEST, 4 * 2 ** 20, 'what registries take');
});
