/** Names of platforms. */
import t from 'tap';
import { parsePlatform, platformText, samePlatform } from '../../../lib/oci/platform.js';

t.test('platforms as people write them', t => {
  const same = {
    'linux/amd64': 'x86_64',
    'linux/arm64': 'linux/arm64/v8',
    'linux/arm/v7': 'armhf',
  };
  for (const [name, other] of Object.entries(same)) {
    t.equal(platformText(parsePlatform(other)), name);
    t.ok(samePlatform(parsePlatform(name), parsePlatform(other)), name);
  }
  t.notOk(samePlatform(parsePlatform('arm/v6'.replace('arm', 'linux/arm')), parsePlatform('arm')));
  for (const wrong of ['', '/', 'linux/', 'a/b/c/d', 'li nux/amd64']) {
    t.throws(() => parsePlatform(wrong), { code: 'USAGE' }, JSON.stringify(wrong));
  }
  t.end();
});
