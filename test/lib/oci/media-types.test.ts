import t from 'tap';
import { Annotation } from '../../../lib/oci/annotations.js';
import { checkLayerType, MediaType, ociType } from '../../../lib/oci/media-types.js';

t.test("Docker's types have OCI types that mean the same, others stay", async t => {
  t.equal(ociType('application/vnd.docker.distribution.manifest.v2+json'), MediaType.MANIFEST);
  t.equal(ociType('application/vnd.docker.image.rootfs.diff.tar.gzip'), MediaType.LAYER_GZIP);
  for (const other of [MediaType.INDEX, 'text/plain', 'constructor', ''])
    t.equal(ociType(other), other);
});

t.test('layers that cannot be converted are refused by what they are', async t => {
  for (const type of [MediaType.LAYER, MediaType.LAYER_ZSTD, MediaType.DOCKER_LAYER_GZIP]) {
    checkLayerType(type, 'sha256:0');
  }
  for (const [type, why] of [
    ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', /foreign layer/],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar', /foreign layer/],
    ['application/vnd.oci.image.layer.v1.tar+gzip+encrypted', /encrypted layer/],
    ['application/x-helm', /of this type/],
  ] as const) {
    const at = { layer: 'sha256:0' };
    t.throws(() => checkLayerType(type, 'sha256:0'), { code: 'UNSUPPORTED', message: why, at });
  }
});

t.test('annotations are the ones that snapshotters look for', async t => {
  t.equal(Annotation.BOOTSTRAP, 'containerd.io/snapshot/nydus-bootstrap');
  t.equal(Annotation.BLOB, 'containerd.io/snapshot/nydus-blob');
  t.equal(Annotation.UNCOMPRESSED, 'containerd.io/uncompressed');
  const all = Object.values(Annotation);
  t.equal(new Set(all).size, all.length);
});
