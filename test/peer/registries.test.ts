/** Images that we push to registries that are not ours, as skopeo, crane and oras see them. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { RegistryTarget } from '../../streams/transport/registry.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { closedPort } from '../support/servers/http.js';
import { startRegistry, withoutRegistry } from '../support/servers/storage-servers.js';
import { madeTar } from '../support/tar/layers.js';

const run = promisify(execFile);
const lacks = (program: string, ...argv: string[]): string | false =>
  spawnSync(program, argv).status !== 0 && `needs ${program}`;
const withoutCrane = lacks('crane', 'version');
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const dockerRegistry = (t: Test): Promise<string> =>
  startRegistry(t, temporaryDirectory(t), {
    storage: { filesystem: { rootdirectory: temporaryDirectory(t) } },
  });

const craneRegistry = async (t: Test): Promise<string> => {
  const host = `127.0.0.1:${await closedPort()}`;
  const child = spawn('crane', ['registry', 'serve', '--address', host], { stdio: 'ignore' });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) return host;
    if (tries === 200) throw new Error('the registry does not start');
    await sleep(100);
  }
};

const tar = madeTar('debian', { scale: 0.02 });

for (const [name, start, skip] of [
  ['docker-registry', dockerRegistry, withoutRegistry()],
  ['crane registry', craneRegistry, withoutCrane],
] as const) {
  t.test(`an image in ${name}`, { skip }, async t => {
    const host = await start(t);
    const target = new RegistryTarget(`${host}/some/app:1`);
    t.teardown(() => target.close());
    const layer = gzipSync(tar);
    const config = Buffer.from(
      JSON.stringify({
        ...{ architecture: 'amd64', os: 'linux', config: {} },
        rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
        history: [{ created_by: 'test' }],
      }),
    );
    async function* bytes(content: Buffer): AsyncGenerator<Buffer> {
      for (let at = 0; at < content.length; at += 50_000) yield content.subarray(at, at + 50_000);
    }
    const stored = [];
    for (const content of [config, layer]) stored.push(await target.put(bytes(content), {}));
    const manifest = Buffer.from(
      JSON.stringify({
        ...{ schemaVersion: 2, mediaType: MANIFEST },
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...stored[0]! },
        layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...stored[1]! }],
      }),
    );
    await target.putManifest(manifest, MANIFEST, {});
    const image = `${host}/some/app:1`;
    await t.test('skopeo', { skip: lacks('skopeo', '--version') }, async t => {
      const argv = ['inspect', '--tls-verify=false', `docker://${image}`];
      const { stdout } = await run('skopeo', argv);
      t.match(JSON.parse(stdout), { Digest: digestOf(manifest), Layers: [digestOf(layer)] });
    });
    await t.test('crane', { skip: withoutCrane }, async t => {
      const { stderr, stdout } = await run('crane', ['validate', '--remote', image]);
      t.match(stderr + stdout, /PASS/);
    });
    await t.test('oras', { skip: lacks('oras', 'version') }, async t => {
      const { stdout } = await run('oras', ['manifest', 'fetch', '--plain-http', image]);
      t.same(JSON.parse(stdout), JSON.parse(manifest.toString()));
    });
  });
}
