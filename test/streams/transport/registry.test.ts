import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { RegistrySource, RegistryTarget } from '../../../streams/transport/registry.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { numbers } from '../../support/random.js';
import { startRegistry, withoutRegistry } from '../../support/servers/storage-servers.js';

const run = promisify(execFile);
const next = numbers(16);
const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
/** Why a test cannot run; false if it can. */
const lacks = (program: string, ...argv: string[]): string | false =>
  spawnSync(program, argv).status !== 0 && `needs ${program}`;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar';

async function* pieces(bytes: Buffer, size = 100_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** An image of one layer, pushed; its manifest. */
const pushImage = async (target: RegistryTarget, layer: Buffer, more: object = {}) => {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
    }),
  );
  const stored = [];
  for (const bytes of [config, layer]) stored.push(await target.put(pieces(bytes), {}));
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...stored[0]! },
    layers: [{ mediaType: LAYER, ...stored[1]! }],
    ...more,
  };
  return Buffer.from(JSON.stringify(manifest));
};

const registryOf = (t: Test): Promise<string> =>
  startRegistry(t, temporaryDirectory(t), {
    storage: { filesystem: { rootdirectory: temporaryDirectory(t) } },
  });

t.test('an image pushed and pulled', { skip: withoutRegistry() }, async t => {
  const host = await registryOf(t);
  const target = new RegistryTarget(`${host}/some/app:1`);
  t.teardown(() => target.close());
  const layer = Buffer.from(Array.from({ length: 20_000_000 }, () => next(256)));
  const bytes = await pushImage(target, layer);
  t.equal(await target.has({ digest: digestOf(layer), size: layer.length }), true);
  t.equal(await target.has({ digest: digestOf(bytes) }), false);
  const source = new RegistrySource(`${host}/some/app:1`);
  t.teardown(() => source.close());
  await t.rejects(source.manifest(), {
    code: 'BACKEND',
    message: 'the registry answered 404 Not Found: MANIFEST_UNKNOWN: manifest unknown',
    at: { registry: host, repository: 'some/app', status: 404 },
  });
  const stored = await target.putManifest(bytes, MANIFEST, {});
  t.same(stored, { mediaType: MANIFEST, digest: digestOf(bytes), size: bytes.length });
  const manifest = await source.manifest();
  t.same(manifest, { bytes, mediaType: MANIFEST, digest: digestOf(bytes) });
  const blob = { digest: digestOf(layer), size: layer.length };
  t.ok((await buffer(await source.open(blob))).equals(layer));
  const part = await buffer(await source.open(blob, { offset: 1000, length: 500 }));
  t.ok(part.equals(layer.subarray(1000, 1500)));

  const other = new RegistryTarget(`${host}/other:2`);
  t.teardown(() => other.close());
  const descriptor = { mediaType: LAYER, ...blob };
  t.equal(await other.mount(descriptor, source), true);
  t.equal(await other.has(blob), true);
  t.equal(await other.mount({ ...descriptor, digest: digestOf(bytes) }, source), false);

  await t.test('skopeo reads it', { skip: lacks('skopeo', '--version') }, async t => {
    const name = `docker://${host}/some/app:1`;
    const { stdout } = await run('skopeo', ['inspect', '--tls-verify=false', name]);
    t.match(JSON.parse(stdout), { Digest: digestOf(bytes), Layers: [digestOf(layer)] });
  });
});
