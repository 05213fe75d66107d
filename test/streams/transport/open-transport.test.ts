/** Names of images and where they lead. */
import t from 'tap';
import { openImageTarget, parseImageName } from '../../../streams/transport/open-transport.js';

t.test('names as skopeo writes them', t => {
  const digest = `sha256:${'0'.repeat(64)}`;
  const due = {
    'docker://host/app:1': { transport: 'docker', location: 'host/app:1' },
    'host:5000/app': { transport: 'docker', location: 'host:5000/app' },
    'app:1': { transport: 'docker', location: 'app:1' },
    'oci:dir': { transport: 'oci', location: 'dir' },
    'oci:/a/dir:tag': { transport: 'oci', location: '/a/dir', tag: 'tag' },
    [`oci:dir@${digest}`]: { transport: 'oci', location: 'dir', digest },
    'docker-archive:-': { transport: 'docker-archive', location: '-' },
    'docker-archive:f.tar:app:1': { transport: 'docker-archive', location: 'f.tar', tag: 'app:1' },
  };
  for (const [name, parts] of Object.entries(due)) t.same(parseImageName(name), parts, name);
  for (const wrong of ['dir:x', 'docker-daemon:app:1', 'oci:', 'docker:app']) {
    t.throws(() => parseImageName(wrong), { code: 'USAGE' }, wrong);
  }
  t.end();
});

t.test('what can only be read is no target', async t => {
  for (const name of ['docker-archive:x', `oci:x@sha256:${'0'.repeat(64)}`]) {
    await t.rejects(openImageTarget(name), { code: 'USAGE' });
  }
});
