import t from 'tap';
import {
  byteSize,
  imageNames,
  platformsOf,
  transportOptions,
} from '../../../bin/cli/image-names.js';

const NONE = {
  source: undefined,
  target: undefined,
  'source-archive': undefined,
  'target-archive': undefined,
};

t.test('SOURCE and TARGET, as arguments or as nydusify names them', t => {
  t.same(imageNames(NONE, ['oci:a', 'oci:b']), { source: 'oci:a', target: 'oci:b' });
  t.same(imageNames({ ...NONE, source: 'r/a:1', target: 'r/a:2' }, []), {
    source: 'r/a:1',
    target: 'r/a:2',
  });
  t.same(imageNames({ ...NONE, 'source-archive': 'a.tar', 'target-archive': 'b.tar' }, []), {
    source: 'oci-archive:a.tar',
    target: 'oci-archive:b.tar',
  });
  const suffixed = (source: string): string =>
    imageNames({ ...NONE, source, 'target-suffix': '-nydus' }, []).target;
  t.equal(suffixed('localhost:5000/app:1'), 'docker://localhost:5000/app:1-nydus');
  t.equal(suffixed('docker://r.example/app'), 'docker://r.example/app:latest-nydus');
  t.throws(() => suffixed('oci:layout:1'), { code: 'USAGE' });
  t.throws(() => suffixed(`r.example/app@sha256:${'0'.repeat(64)}`), { code: 'USAGE' });
  t.throws(() => imageNames(NONE, []), { message: 'the source is missing' });
  t.throws(() => imageNames(NONE, ['oci:a']), { message: 'the target is missing' });
  t.end();
});

t.test('how images are reached', t => {
  const { signal } = new AbortController();
  const reach = (more: object) =>
    transportOptions(
      { 'source-insecure': false, 'target-insecure': false, ...more },
      { signal, fsync: true },
    );
  const secure = { insecure: false, fsync: true, signal };
  t.match(reach({}), { source: secure, target: secure, dict: secure });
  t.match(reach({ 'source-insecure': true }), { source: { insecure: true }, target: secure });
  t.match(reach({ 'plain-http': true }), { source: { insecure: true }, dict: { insecure: true } });
  t.match(reach({ 'spool-limit': '1MiB' }), { source: { spoolLimit: 0x100000 } });
  t.throws(() => byteSize('--memory', 'much'), { message: "invalid size 'much' for '--memory'" });
  t.end();
});

t.test('platforms', t => {
  t.equal(platformsOf({ platform: undefined, 'all-platforms': false }), undefined);
  t.equal(platformsOf({ platform: undefined, 'all-platforms': true }), 'all');
  t.match(platformsOf({ platform: ['linux/arm/v7'], 'all-platforms': false }), [
    { os: 'linux', architecture: 'arm', variant: 'v7' },
  ]);
  t.end();
});
