/** Options of nydusify: dictionaries, storages, prefetching; judged by nydusify where it is installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { layoutOf, taggedManifest, withoutProgram } from '../support/images/oci-layout.js';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { startRegistry, withoutRegistry } from '../support/servers/storage-servers.js';
import { madeTar } from '../support/tar/layers.js';
import { tarOf } from '../support/tar/tar.js';

const skip = withoutRegistry() || withoutProgram('skopeo', '--version');
const withoutNydusify =
  withoutProgram('nydusify', '--version') || withoutProgram('nydus-image', '--version');

interface Manifest {
  config: { digest: string; size: number };
  layers: { digest: string; size: number }[];
}

const BASE = madeTar('debian', { scale: 0.02 });
const UPPER = tarOf([
  // without it, nydusify's root is the one of no layer
  { name: './', type: '5', mode: 0o755, mtime: 1_700_000_000 },
  { name: 'upper/', type: '5', mode: 0o755 },
  { name: 'upper/new', content: 'new' },
]);

/** A registry with an image and one that shares a layer with it, and what both programs make of it. */
const withImages = async (t: Test) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const storage = { filesystem: { rootdirectory: at('registry') } };
  const host = await startRegistry(t, directory, { storage });
  for (const [name, layers] of Object.entries({ base: [BASE], app: [BASE, UPPER] })) {
    layoutOf(at(name), {
      config: { config: { Cmd: ['sh'] } },
      layers: layers.map(tar => ({ tar })),
    });
    const argv = ['copy', '-q', '--dest-tls-verify=false', `oci:${name}:t`];
    execFileSync('skopeo', [...argv, `docker://${host}/app:${name}`], { cwd: directory });
  }
  const manifestOf = (name: string): Manifest => {
    const argv = ['inspect', '--raw', '--tls-verify=false', `docker://${name}`];
    return JSON.parse(execFileSync('skopeo', argv).toString()) as Manifest;
  };
  /** Both convert the image; their results and what they say of them. */
  const both = async (kind: string, options: readonly string[], stdin = '') => {
    const source = `${host}/app:app`;
    const [ours, theirs] = [`${host}/app:${kind}`, `${host}/app:theirs-${kind}`];
    const json = at(`${kind}.json`);
    const argv = ['convert', '-l', 'warn', source, ours, ...options, '--output-json', json];
    await succeed(t, argv, { stdin });
    const made = manifestOf(ours);
    const metrics = JSON.parse(fs.readFileSync(json, 'utf8')) as Record<string, number>;
    if (withoutNydusify) {
      t.comment(`${kind} not compared with nydusify: ${withoutNydusify}`);
      return { ours, made, metrics };
    }
    const insecure = ['--source-insecure', '--target-insecure', '--nydus-image', 'nydus-image'];
    const place = ['--work-dir', at(`work-${kind}`), '--output-json', at('theirs.json')];
    const names = ['--source', source, '--target', theirs];
    execFileSync('nydusify', ['convert', ...names, ...insecure, ...place, ...options], {
      input: stdin,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const due = manifestOf(theirs);
    t.equal(made.config.digest, due.config.digest, `${kind}: the same config and bootstrap`);
    const blobsOf = ({ layers }: Manifest): string[] =>
      layers.slice(0, -1).map(({ digest }) => digest);
    t.same(blobsOf(made), blobsOf(due), `${kind}: the same blobs`);
    const said = JSON.parse(fs.readFileSync(at('theirs.json'), 'utf8')) as Record<string, number>;
    t.equal(metrics.SourceImageSize, said.SourceImageSize);
    const gzips = made.layers.at(-1)!.size - due.layers.at(-1)!.size;
    t.equal(metrics.TargetImageSize, said.TargetImageSize! + gzips);
    return { ours, made, metrics };
  };
  return { t, at, host, both, directory };
};

t.test('a dictionary, and other options', { skip, timeout: 180_000 }, async t => {
  const { host, both, at } = await withImages(t);
  const source = `${host}/app:app`;
  await succeed(t, ['convert', '-l', 'warn', `${host}/app:base`, `${host}/dict:1`]);
  const given = `bootstrap:registry:${host}/dict:1`;
  const { ours, made } = await both('dict', ['--chunk-dict', given]);
  t.equal(made.layers.length, 4, 'two layers, the blob of the dictionary, the bootstrap');
  await succeed(t, ['check', '-l', 'warn', '--source', source, ours]);
  await both('prefetch', ['--prefetch-patterns'], '/upper\n');
  await both('directory', ['--prefetch-dir', '/upper']);
  await both('chunks', ['--fs-chunk-size', '0x200000']);

  const bad = async (options: readonly string[], exit: number, text: RegExp): Promise<void> => {
    const ran = await cli(['convert', source, `oci:${at('none')}`, ...options]);
    hasFailed(t, ran, options.join(' '), exit, text);
    t.notOk(fs.existsSync(at('none/index.json')));
  };
  await bad(['--chunk-dict', 'bootstrap:disk:x'], 2, /invalid chunk dictionary/);
  await bad(['--chunk-dict', source], 1, /is not a Nydus image/);
  await bad(['--chunk-dict', given, '--fs-version', '5'], 1, /inconsistent RAFS version/);
  await bad(['--chunk-dict', given, '--oci-ref'], 2, /a dictionary is of no use/);
  await bad(['--chunk-dict', 'bootstrap:local:/nowhere'], 1, /ENOENT/);
});

t.test('blobs go to a storage', { skip, timeout: 120_000 }, async t => {
  const { host, both, at } = await withImages(t);
  const source = `${host}/app:app`;
  const backend = ['--backend-type', 'localfs', '--backend-config'];
  const { ours, made } = await both('stored', [...backend, JSON.stringify({ dir: at('store') })]);
  t.equal(made.layers.length, 1, 'only the bootstrap');
  t.equal(fs.readdirSync(at('store')).length, 2);
  await succeed(t, ['check', '-l', 'warn', '--source', source, ours, '--blob-dir', at('store')]);
  hasFailed(
    t,
    await cli(['convert', '--reverse', ours, `oci:${at('x')}`]),
    'reverse',
    1,
    /storage/,
  );

  // a dictionary that is a bootstrap alone: its blobs are in the storage
  await succeed(t, ['convert', '-l', 'warn', `${host}/app:base`, `oci:${at('base-n')}:t`]);
  const layers = taggedManifest(at('base-n'), 't').layers;
  const blob = (i: number): string => at(`base-n/blobs/sha256/${layers.at(i)!.digest.slice(7)}`);
  const file = ['bootstrap', layers[0]!.digest.slice(7)];
  fs.copyFileSync(blob(0), path.join(at('store'), file[1]!));
  spawnSync('tar', ['-xzf', blob(-1), '-C', at('.'), 'image/image.boot']);
  const config = path.join(at('.'), 'config.json');
  fs.writeFileSync(config, JSON.stringify({ dir: at('store') }));
  const target = `${host}/app:again`;
  await succeed(t, [
    ...['convert', '-l', 'warn', source, target, '--backend-type', 'localfs'],
    ...[
      '--backend-config-file',
      config,
      '--chunk-dict',
      `bootstrap:local:${at('image/image.boot')}`,
    ],
  ]);
  await succeed(t, ['check', '-l', 'warn', '--source', source, target, '--blob-dir', at('store')]);
  const dict = ['--chunk-dict', `bootstrap:local:${at('image/image.boot')}`];
  hasFailed(
    t,
    await cli(['convert', source, `${host}/app:none`, ...dict]),
    'no blobs',
    1,
    /a blob of the dictionary is missing/,
  );
});
