/** The network fails at random points of conversions. */
import t from 'tap';
import { withoutProgram } from '../support/images/oci-layout.js';
import { runFaults } from '../support/servers/fault-runs.js';
import { withoutRegistry } from '../support/servers/storage-servers.js';

const skip = withoutRegistry() || withoutProgram('skopeo', '--version');

t.test('twenty runs', { skip, timeout: 300_000 }, async t => {
  const { mended, failed } = await runFaults(t, 20, 1);
  t.equal(mended + failed, 20);
  t.ok(mended > 0, `${mended} mended, ${failed} failed`);
});
