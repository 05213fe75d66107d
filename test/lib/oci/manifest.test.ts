/** Manifests: what is read, what is refused, and how they are written. */
import fc from 'fast-check';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import { indexBytes, manifestBytes, parseManifest } from '../../../lib/oci/manifest.js';

const HEX = 'a'.repeat(64);
const DIGEST = `sha256:${HEX}`;
const read = (value: unknown, mediaType = '') =>
  parseManifest({ bytes: Buffer.from(JSON.stringify(value)), mediaType, digest: DIGEST });
const descriptor = { mediaType: 'x/y', digest: DIGEST, size: 3 };

t.test('what is written is read again', t => {
  const manifest = {
    config: descriptor,
    layers: [{ ...descriptor, annotations: { b: '<&>', a: '2' } }],
    annotations: { z: '1', y: '2' },
    subject: descriptor,
    artifactType: 'a/b',
  };
  const bytes = manifestBytes(manifest);
  t.match(bytes.toString(), '\\u003c\\u0026\\u003e', 'as Go writes it');
  t.notMatch(bytes.toString(), /[<&]|\n$/);
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  t.same(parseManifest({ bytes, mediaType: '', digest: DIGEST }), {
    kind: 'manifest',
    mediaType,
    ...manifest,
  });
  t.same(Object.keys(JSON.parse(bytes.toString()) as object), [
    ...['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'subject', 'annotations'],
  ]);
  const platform = { architecture: 'arm', os: 'linux', variant: 'v7' };
  const index = { manifests: [{ ...descriptor, platform }] };
  const again = parseManifest({ bytes: indexBytes(index), mediaType: '', digest: DIGEST });
  t.same(again, { kind: 'index', mediaType: 'application/vnd.oci.image.index.v1+json', ...index });
  t.end();
});

t.test('Docker types become OCI types, and a missing one is found out', t => {
  const docker = 'application/vnd.docker.distribution.manifest';
  t.match(read({ mediaType: `${docker}.v2+json`, config: descriptor, layers: [] }), {
    kind: 'manifest',
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
  });
  t.match(read({ mediaType: `${docker}.list.v2+json`, manifests: [] }), { kind: 'index' });
  t.match(read({ config: descriptor, layers: [] }), { kind: 'manifest' });
  t.end();
});

t.test('what makes no sense is refused', t => {
  const wrong: [unknown, RegExp][] = [
    [[], /not a JSON object/],
    [{ schemaVersion: 1, fsLayers: [] }, /schema 1/],
    [{ manifests: [], layers: [] }, /both an image and an index/],
    [{ config: descriptor, layers: [{ ...descriptor, size: -1 }] }, /invalid descriptor size -1/],
    [{ config: { ...descriptor, digest: 'sha256:../../x' } }, /invalid digest/],
    [{ config: { ...descriptor, digest: `md5:${HEX}` } }, /unknown digest algorithm/],
    [{ config: descriptor, layers: [], annotations: { a: 1 } }, /not an object of strings/],
    [{ mediaType: 'application/json', config: descriptor }, /not a manifest of an image/],
  ];
  for (const [value, text] of wrong) t.throws(() => read(value), { message: text });
  t.end();
});

t.test('any JSON gives a manifest or a RafsError', t => {
  const json = fc.jsonValue();
  const like = fc.record(
    {
      schemaVersion: json,
      mediaType: json,
      config: fc.oneof(json, fc.constant(descriptor)),
      layers: fc.oneof(json, fc.array(fc.oneof(json, fc.constant(descriptor)))),
      manifests: fc.oneof(
        json,
        fc.array(fc.record({ digest: fc.constant(DIGEST), platform: json })),
      ),
      annotations: json,
      subject: json,
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(json, like), value => {
      try {
        read(value);
      } catch (error) {
        if (!(error instanceof RafsError)) throw error;
      }
    }),
  );
  t.end();
});
