import { createHash } from 'node:crypto';
import t from 'tap';
import { selectImages, type Platforms } from '../../../streams/convert/select-images.js';
import type { ImageSource } from '../../../streams/transport/source.js';

const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const OCI = 'application/vnd.oci.image';
const blob = { mediaType: `${OCI}.config.v1+json`, digest: digestOf(Buffer.from('x')), size: 1 };

/** A source whose name stands for an index of one image for each of these descriptors. */
const sourceOf = (...descriptors: Record<string, unknown>[]): ImageSource => {
  const stored = new Map<string, { bytes: Buffer; mediaType: string }>();
  const put = (document: object, mediaType: string) => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }));
    stored.set(digestOf(bytes), { bytes, mediaType });
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const manifests = descriptors.map((more, i) => ({
    ...put(
      { config: blob, layers: [], annotations: { number: `${i}` } },
      `${OCI}.manifest.v1+json`,
    ),
    ...more,
  }));
  const top = put({ manifests }, `${OCI}.index.v1+json`);
  return {
    name: 'test',
    manifest: async (digest = top.digest) => ({ ...stored.get(digest)!, digest }),
  } as Partial<ImageSource> as ImageSource; // nothing else is asked
};

const AMD = { platform: { os: 'linux', architecture: 'amd64' } };
const ARM = { platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } };
const ATTESTATION = {
  platform: { os: 'unknown', architecture: 'unknown' },
  annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
};
const NYDUS = { ...AMD, artifactType: 'application/vnd.nydus.image.manifest.v1+json' };
const OLD_NYDUS = {
  platform: { ...ARM.platform, 'os.features': ['nydus.remoteimage.v1'] },
};

/** Numbers of the images that are meant, and what is told. */
const selected = async (
  source: ImageSource,
  platforms: Platforms,
  nydus = false,
): Promise<{ numbers: string; notices: string[] }> => {
  const notices: string[] = [];
  const notice = (text: string): void => void notices.push(text);
  const { images } = await selectImages(source, { platforms, nydus, notice });
  const numbers = images.map(({ manifest }) => manifest.annotations?.number).join();
  return { numbers, notices };
};

t.test('platforms', async t => {
  const source = sourceOf(AMD, ARM);
  t.equal((await selected(source, 'all')).numbers, '0,1');
  const arm = [{ os: 'linux', architecture: 'arm64' }];
  t.equal((await selected(source, arm)).numbers, '1', 'v8 is what arm64 means');
  const riscv = [{ os: 'linux', architecture: 'riscv64' }];
  await t.rejects(selected(source, riscv), {
    code: 'UNSUPPORTED',
    message: /no image for linux\/riscv64, only for: linux\/amd64, linux\/arm64/,
  });
  t.equal((await selected(sourceOf({}), riscv)).numbers, '0', 'the only one is for everyone');
  await t.rejects(selected(sourceOf({}, {}), riscv), { code: 'UNSUPPORTED' });
  await t.rejects(selected(sourceOf(), 'all'), { message: 'the index has no images' });
});

t.test('what is no ordinary image', async t => {
  const source = sourceOf(AMD, ATTESTATION, NYDUS, ARM, OLD_NYDUS);
  const { numbers, notices } = await selected(source, 'all');
  t.equal(numbers, '0,3');
  t.match(notices, [/^an attestation of the source left out/]);
  t.equal(notices.length, 1);
  t.equal((await selected(source, 'all', true)).numbers, '2,4', 'or the Nydus ones');
  const two = await selected(sourceOf(AMD, ATTESTATION, ATTESTATION), 'all', true);
  t.equal(two.numbers, '0', 'an index without such may be of Nydus images that do not say so');
  t.match(two.notices, [/^2 attestations/]);
});
