import t from 'tap';
import { VERSIONS } from '../../../lib/bootstrap/versions.js';
import { RAFS_VERSIONS, VERSION_NAMES, versionOf } from '../../../lib/model/version.js';
import { BOOTSTRAPS, BOOTSTRAPS_V5, golden } from '../../support/images/golden.js';

t.test('every version is recognized by its own bytes alone', async t => {
  for (const [names, due] of [
    [BOOTSTRAPS, '6'],
    [BOOTSTRAPS_V5, '5'],
  ] as const) {
    for (const name of names) {
      for (const [version, { is, parse }] of Object.entries(VERSIONS)) {
        t.equal(is(golden(name).subarray(0, 4096)), version === due, `${name} ${version}`);
        if (version === due) t.equal(String(parse(golden(name)).version), due);
      }
    }
  }
  for (const { is } of Object.values(VERSIONS)) t.equal(is(Buffer.alloc(4096)), false);
});

t.test('what is known of versions, what they do and their names go together', async t => {
  t.same(Object.keys(VERSIONS), Object.keys(RAFS_VERSIONS));
  t.same(Object.keys(VERSIONS), VERSION_NAMES);
  for (const name of VERSION_NAMES) t.equal(String(versionOf(name)), name);
});
