import t from 'tap';
import { parseDictName } from '../../../bin/cli/conversion.js';

t.test('names of dictionaries', async t => {
  const names: Record<string, object> = {
    'bootstrap:registry:host:5000/a/b:tag': { kind: 'image', name: 'docker://host:5000/a/b:tag' },
    'bootstrap:local:/some/file:1': { kind: 'file', name: '/some/file:1' },
    'oci:directory:tag': { kind: 'image', name: 'oci:directory:tag' },
    'host/app:1': { kind: 'image', name: 'host/app:1' },
  };
  for (const [given, due] of Object.entries(names)) t.same(parseDictName(given), due, given);
  for (const given of ['bootstrap:disk:/x', 'bootstrap::x']) {
    t.throws(() => parseDictName(given), { code: 'USAGE', message: /invalid chunk dictionary/ });
  }
});
