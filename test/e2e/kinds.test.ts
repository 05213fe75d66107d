/**
 * Images of every kind, out of a registry and into it again: what comes of them is read by programs
 * that are not ours.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import t, { type Test } from 'tap';
import {
  digestOf,
  putBlob,
  putImage,
  withoutProgram,
  writeLayout,
  type LayoutImage,
  type LayoutLayer,
} from '../support/images/oci-layout.js';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { startRegistry, withoutRegistry } from '../support/servers/storage-servers.js';
import { tarOf } from '../support/tar/tar.js';
import { makeFrame } from '../support/tar/zstd.js';

const skip =
  withoutRegistry() ||
  withoutProgram('skopeo', '--version') ||
  withoutProgram('crane', 'version') ||
  withoutProgram('oras', 'version');

const OCI = 'application/vnd.oci.image';
const DOCKER = 'application/vnd.docker';
const layerOf = (name: string): LayoutLayer => ({
  tar: tarOf([
    { name: `${name}/`, type: '5', mode: 0o755 },
    { name: `${name}/file`, content: name },
  ]),
});
const [A, B] = [layerOf('a'), layerOf('b')];
const PLATFORMS = [
  { architecture: 'amd64', os: 'linux' },
  { architecture: 'arm64', os: 'linux', variant: 'v8' },
];

/** Stores an image with its platform in an index. */
const inIndex = (directory: string, image: LayoutImage, i: number) => ({
  ...putImage(directory, { ...image, platform: PLATFORMS[i]! }),
  platform: PLATFORMS[i]!,
});

const indexOf = (directory: string, manifests: object[]) => {
  const index = { schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests };
  return putBlob(directory, Buffer.from(JSON.stringify(index)), `${OCI}.index.v1+json`);
};

interface Kind {
  /** what the image's name stands for */
  make: (directory: string) => { mediaType: string; digest: string };
  options?: string[];
  /** modes that cannot be: with what they say */
  refused?: Record<string, RegExp>;
}

const image =
  (made: LayoutImage): Kind['make'] =>
  directory =>
    putImage(directory, made);

const KINDS: Record<string, Kind> = {
  'no data': {
    make: image({ layers: [{ tar: tarOf([{ name: 'd/', type: '5', mode: 0o700 }]) }] }),
  },
  'an empty tar': { make: image({ layers: [A, { tar: Buffer.alloc(1024) }] }) },
  'the same layer twice': { make: image({ layers: [A, B, A] }) },
  'a plain tar': {
    make: image({ layers: [{ ...A, stored: A.tar, mediaType: `${OCI}.layer.v1.tar` }] }),
  },
  ...(makeFrame
    ? {
        zstd: {
          make: image({
            layers: [{ ...A, stored: makeFrame(A.tar), mediaType: `${OCI}.layer.v1.tar+zstd` }, B],
          }),
          refused: { zran: /compressed with zstd/ },
        },
      }
    : {}),
  attestations: {
    make: directory =>
      indexOf(directory, [
        inIndex(directory, { layers: [A] }, 0),
        {
          ...putImage(directory, { layers: [{ ...B, mediaType: 'application/vnd.in-toto+json' }] }),
          platform: { architecture: 'unknown', os: 'unknown' },
          annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
        },
      ]),
    options: ['--all-platforms'],
  },
  'two platforms': {
    make: directory =>
      indexOf(directory, [
        inIndex(directory, { layers: [A] }, 0),
        inIndex(directory, { layers: [A, B] }, 1),
      ]),
    options: ['--all-platforms'],
  },
  'no mediaType': { make: image({ layers: [A], manifest: { mediaType: undefined } }) },
  'Docker v2': {
    make: directory => ({
      ...putImage(directory, {
        layers: [{ ...A, mediaType: `${DOCKER}.image.rootfs.diff.tar.gzip` }],
        configType: `${DOCKER}.container.image.v1+json`,
        manifest: { mediaType: `${DOCKER}.distribution.manifest.v2+json` },
      }),
      mediaType: `${DOCKER}.distribution.manifest.v2+json`,
    }),
  },
  'a health check, and fields that nobody knows': {
    make: image({
      layers: [A],
      config: {
        'x-first': [1],
        config: { Healthcheck: { Test: ['CMD', 'a<b'] }, Shell: ['/bin/sh'], Cmd: ['sh'] },
        'x-last': null,
      },
    }),
  },
  '100 layers': {
    make: image({ layers: Array.from({ length: 100 }, (_, i) => layerOf(`layer-${i}`)) }),
  },
};

const MODES = { native: [], v5: ['--fs-version', '5'], zran: ['--oci-ref'] };

interface Document {
  mediaType?: string;
  config?: { mediaType: string; digest: string };
  layers?: { mediaType: string }[];
  manifests?: { mediaType: string; digest: string }[];
}

const run = (program: string, ...argv: string[]): string =>
  execFileSync(program, argv, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();

/** Reads an image with programs that are not ours; its manifest or index. */
const accepted = (t: Test, name: string): Document => {
  run('skopeo', 'inspect', '--tls-verify=false', '--override-arch=amd64', `docker://${name}`);
  // it takes every layer for a gzip unless it leaves them alone
  run('crane', 'validate', '--insecure', '--fast', '--remote', name);
  const text = run('oras', 'manifest', 'fetch', '--plain-http', name);
  t.pass(`${name}: skopeo, crane and oras read it`);
  return JSON.parse(text) as Document;
};

t.test('kinds of images', { skip, timeout: 600_000 }, async t => {
  const directory = temporaryDirectory(t);
  const storage = { filesystem: { rootdirectory: path.join(directory, 'registry') } };
  const host = await startRegistry(t, directory, { storage });
  let number = 0;
  for (const [kind, { make, options = [], refused = {} }] of Object.entries(KINDS)) {
    await t.test(kind, async t => {
      const layout = path.join(directory, `layout-${number}`);
      const repository = `${host}/kind-${number++}`;
      writeLayout(layout, { t: make(layout) });
      run('oras', 'cp', '--from-oci-layout', '--to-plain-http', `${layout}:t`, `${repository}:t`);
      for (const [mode, given] of Object.entries(MODES)) {
        const name = `${repository}:${mode}`;
        const argv = ['convert', `${repository}:t`, name, ...given, ...options];
        const ran = await cli(argv);
        if (refused[mode]) {
          hasFailed(t, ran, mode, 1, refused[mode]);
          continue;
        }
        t.equal(ran.exit, 0, `${mode}: ${ran.stderr}`);
        if (kind === 'attestations') t.match(ran.stderr, /an attestation of the source left out/);
        await succeed(t, ['check', '-l', 'warn', '--source', `${repository}:t`, name, ...options]);
        const found = accepted(t, name);
        const manifests = found.manifests
          ? found.manifests.map(({ digest }) => accepted(t, `${repository}@${digest}`))
          : [found];
        for (const { mediaType, config, layers } of manifests) {
          t.equal(mediaType, `${OCI}.manifest.v1+json`);
          t.equal(config!.mediaType, `${OCI}.config.v1+json`);
          t.equal(layers!.at(-1)!.mediaType, `${OCI}.layer.v1.tar+gzip`);
        }
        if (kind === '100 layers') t.equal(manifests[0]!.layers!.length, 101);
        if (!kind.startsWith('a health check')) continue;
        const blob = `${repository}@${manifests[0]!.config!.digest}`;
        const config = JSON.parse(
          run('oras', 'blob', 'fetch', '--plain-http', '-o', '-', blob),
        ) as {
          config: object;
        };
        t.same(Object.keys(config), [
          ...['created', 'architecture', 'os', 'x-first', 'config', 'x-last', 'rootfs', 'history'],
        ]);
        t.same(config.config, {
          Healthcheck: { Test: ['CMD', 'a<b'] },
          Shell: ['/bin/sh'],
          Cmd: ['sh'],
        });
      }
    });
  }
});

t.test('the empty layer of a mixed index is the one of other programs', async t => {
  const cwd = temporaryDirectory(t);
  const layout = path.join(cwd, 'src');
  writeLayout(layout, { t: putImage(layout, { layers: [A] }) });
  const options = ['--merge-platform', '--platform', 'linux/amd64'];
  await succeed(t, ['convert', '-l', 'warn', 'oci:src:t', 'oci:out:t', ...options], { cwd });
  // sha256 of 32 bytes, and of the 1024 zeros that they expand to
  const gzip = '4f4fb700ef54461cfa02571ae0db9a0dc1e0cdb5577484a6d75e68dc38e8acc1';
  const file = path.join(cwd, 'out/blobs/sha256', gzip);
  const plain = execFileSync('gzip', ['-dc'], {
    input: (await import('node:fs')).readFileSync(file),
  });
  t.equal(digestOf(plain).slice(7, 15), '5f70bf18');
});
