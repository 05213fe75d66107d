import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { RegistrySource, RegistryTarget } from '../../../streams/transport/registry.js';
import { buildGo } from '../../support/peers/go.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { startRegistry, withoutRegistry } from '../../support/servers/storage-servers.js';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const EMPTY = Buffer.from('{}');
const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const { program, missing } = buildGo('registry-server');

const withReferrers = async (t: Test): Promise<string> => {
  const child = spawn(program!, { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer]; // one line is one write
  return line.toString().trim();
};

const withoutReferrers = (t: Test): Promise<string> =>
  startRegistry(t, temporaryDirectory(t), {
    storage: { filesystem: { rootdirectory: temporaryDirectory(t) } },
  });

for (const [what, start, skip] of [
  ['a registry that lists them', withReferrers, missing],
  ['one that does not: a tag', withoutReferrers, withoutRegistry()],
] as const) {
  t.test(`referrers in ${what}`, { skip }, async t => {
    const host = await start(t);
    const target = new RegistryTarget(`${host}/some/app:1`);
    const source = new RegistrySource(`${host}/some/app:1`);
    t.teardown(() => Promise.all([target.close(), source.close()]));
    await target.put(Readable.from([EMPTY]), {});
    const config = {
      mediaType: 'application/vnd.oci.empty.v1+json',
      digest: digestOf(EMPTY),
      size: EMPTY.length,
    };
    const push = (more: object, named?: { tag?: string }) => {
      const manifest = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [config], ...more };
      return target.putManifest(Buffer.from(JSON.stringify(manifest)), MANIFEST, named);
    };
    const image = await push({}, {});
    t.strictSame(await source.referrers(image.digest), []);
    const of = (artifactType: string) => ({ artifactType, subject: image });
    const first = await push(of('application/vnd.example.one'));
    const second = await push(of('application/vnd.example.two'));
    await push(of('application/vnd.example.two'));
    const all = await source.referrers(image.digest);
    t.strictSame(all.map(({ digest }) => digest).sort(), [first.digest, second.digest].sort());
    // some registries list the type of the config instead
    const type = all.find(({ digest }) => digest === second.digest)!.artifactType!;
    const some = await source.referrers(image.digest, type);
    t.ok(some.some(({ digest }) => digest === second.digest));
    t.strictSame(await source.referrers(image.digest, 'application/vnd.example.none'), []);
  });
}
