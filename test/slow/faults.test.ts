/** The network fails at random points of conversions, 200 times. */
import t from 'tap';
import { withoutProgram } from '../support/images/oci-layout.js';
import { runFaults } from '../support/servers/fault-runs.js';
import { withoutRegistry } from '../support/servers/storage-servers.js';

const skip = withoutRegistry() || withoutProgram('skopeo', '--version');

t.test('two hundred runs', { skip, timeout: 1_800_000 }, async t => {
  const { mended, failed } = await runFaults(t, 200, 2);
  t.comment(`${mended} mended, ${failed} failed with an error`);
  t.equal(mended + failed, 200);
  t.ok(mended > 100, 'most can be mended');
});
