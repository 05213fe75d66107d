/**
 * How much time and memory whole images take, compared with nydusify and its builder: on one
 * registry, in turns, over loopback and over a link of 20 ms and 100 MB/s.
 *
 *     npm run bench:images -- [--only TEXT] [--runs N] [--scale F]
 *
 * A whole run writes IMAGES.md.
 *
 * Needs docker-registry, skopeo and GNU time; NYDUSIFY and NYDUS_IMAGE are paths of the others. CPU is
 * that of all processes that a program starts, the memory that of the largest of them. Each run
 * writes into a repository where nothing is.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { renameSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createGzip } from 'node:zlib';
import { LAYERS, makeLayer, type LayerShape } from './layers.js';
import { finished, measure, median, type Cost } from './measure.js';
import { machine } from './report.js';
import { openLink } from './slow-link.js';
import { OURS } from './workloads.js';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { only: text, runs: text, scale: text } });
const runs = Number(values.runs ?? 3);
const scale = Number(values.scale ?? 1);
const work = mkdtempSync(path.join(os.tmpdir(), 'rafs-images-'));
const at = (...names: string[]): string => path.join(work, ...names);

/** A layer of one file that is half text, of that many bytes. */
const fileOf = (bytes: number): LayerShape => ({
  ...{ about: `a file of ${bytes} bytes`, files: 4, directories: 1, symlinks: 0 },
  sizes: [
    [0, bytes / 4],
    [1, bytes / 4 + 1],
  ],
  ...{ random: 0.3, repeated: 0.4, scaled: 'sizes' },
});
const MB = 1_000_000;

/** Layers of each image, the lowest first. */
const IMAGES: Record<string, readonly LayerShape[]> = {
  'debian and 3 small layers': [LAYERS.debian, fileOf(20_000), fileOf(5_000), fileOf(1_000)],
  '30 layers of 1 to 50 MB': Array.from({ length: 30 }, (_, i) =>
    fileOf(MB * 50 ** (((i * 7) % 30) / 29)),
  ),
  'one layer of 1.4 GB': [LAYERS['1g']],
};

async function* hashed(
  bytes: AsyncIterable<Buffer> | Iterable<Buffer>,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<Buffer> {
  for await (const piece of bytes) {
    hash.update(piece);
    yield piece;
  }
}

/** Writes a layout with the image; the size of its layers. */
const makeImage = async (directory: string, shapes: readonly LayerShape[]): Promise<number> => {
  const blobs = path.join(directory, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const oci = 'application/vnd.oci.image';
  const put = (value: object, mediaType: string) => {
    const bytes = Buffer.from(JSON.stringify(value));
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(path.join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const layers: { mediaType: string; digest: string; size: number }[] = [];
  const diffIds: string[] = [];
  for (const [i, shape] of shapes.entries()) {
    const [tar, gzip] = [createHash('sha256'), createHash('sha256')];
    const file = path.join(directory, 'layer');
    await pipeline(
      hashed(makeLayer(shape, { seed: i + 1, scale }), tar),
      createGzip(),
      bytes => hashed(bytes as AsyncIterable<Buffer>, gzip),
      createWriteStream(file),
    );
    const hex = gzip.digest('hex');
    const { size } = statSync(file);
    renameSync(file, path.join(blobs, hex));
    layers.push({ mediaType: `${oci}.layer.v1.tar+gzip`, digest: `sha256:${hex}`, size });
    diffIds.push(`sha256:${tar.digest('hex')}`);
  }
  const config = put(
    { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } },
    `${oci}.config.v1+json`,
  );
  const mediaType = `${oci}.manifest.v1+json`;
  const manifest = put({ schemaVersion: 2, mediaType, config, layers }, mediaType);
  const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 't' } };
  writeFileSync(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const index = { schemaVersion: 2, manifests: [named] };
  writeFileSync(path.join(directory, 'index.json'), JSON.stringify(index));
  return layers.reduce((sum, { size }) => sum + size, 0);
};

const freePort = (): Promise<number> =>
  new Promise(resolve => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo; // of a server that listens on TCP
      server.close(() => resolve(port));
    });
  });

const startRegistry = async () => {
  const port = await freePort();
  const config = {
    ...{ version: 0.1, log: { level: 'error' }, http: { addr: `127.0.0.1:${port}` } },
    storage: { filesystem: { rootdirectory: at('registry') } },
  };
  writeFileSync(at('registry.yml'), JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', at('registry.yml')], { stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}/v2/`;
  while (!(await fetch(url).catch(() => undefined))?.ok) await sleep(50);
  return { port, stop: () => child.kill() };
};

type Command = (host: string, source: string, target: string) => string[];
const { NYDUSIFY: nydusify, NYDUS_IMAGE: builder } = process.env;

/** What converts an image, by the mode's options. */
const programs = (options: readonly string[]): Record<string, Command> => ({
  'rafs-stream': (host, source, target) => [
    ...[...OURS, 'convert', '-l', 'warn', `${host}/${source}`, `${host}/${target}`],
    ...options,
  ],
  ...(nydusify && builder
    ? {
        nydusify: (host: string, source: string, target: string) => [
          ...[nydusify, 'convert', '--source', `${host}/${source}`],
          ...['--target', `${host}/${target}`, '--source-insecure', '--target-insecure'],
          ...['--nydus-image', builder, '--work-dir', at('work'), ...options],
        ],
      }
    : {}),
});

const lines: string[] = [];
const show = (cells: readonly (string | number)[]): void => {
  lines.push(`| ${cells.join(' | ')} |\n`);
  process.stdout.write(lines.at(-1)!);
};
const HEADER = [
  ...['image', 'MB', 'mode', 'link', 'program'],
  ...['wall s', 'CPU s', 'RSS MiB', 'wall ratio', 'CPU ratio'],
];

/** Of a whole run. */
const RESULTS = fileURLToPath(new URL('../../benchmarks/IMAGES.md', import.meta.url));

const page = (): string =>
  [
    '# Whole images\n\n',
    'Made by `npm run bench:images`: both programs convert the same image from and to one registry ',
    `on this machine, in turns; medians of ${runs}. CPU is that of all processes, the memory that of `,
    'the largest; a ratio below 1 says that we take less. "again, cached" converts the same image ',
    'with a build cache.\n\n',
    ...Object.entries(machine(work)).map(([key, value]) => `- ${key}: ${value}\n`),
    '\n',
    ...lines,
  ].join('');

const two = (value: number): string => value.toFixed(2);

const costs = (cost: Cost): string[] => [
  two(cost.wall),
  two(cost.cpu),
  (cost.rss / 1024).toFixed(0),
];

let count = 0;
const fresh = (): string => `made-${++count}:1`;

const registry = await startRegistry();
try {
  show(HEADER);
  show(HEADER.map(() => '---'));
  const slow = await openLink(
    { host: '127.0.0.1', port: registry.port },
    { roundTrip: 20, bytesPerSecond: 100 * MB },
  );
  const links = { loopback: registry.port, '20 ms, 100 MB/s': slow.port };
  for (const [i, [image, shapes]] of Object.entries(IMAGES).entries()) {
    if (values.only !== undefined && !image.includes(values.only)) continue;
    const size = await makeImage(at(`source-${i}`), shapes);
    const source = `source-${i}:1`;
    const argv = ['copy', '-q', '--dest-tls-verify=false', `oci:${at(`source-${i}`)}:t`];
    await finished(['skopeo', ...argv, `docker://127.0.0.1:${registry.port}/${source}`]);
    rmSync(at(`source-${i}`), { recursive: true });
    const mb = (size / MB).toFixed(0);
    for (const [mode, options] of Object.entries({ native: [], zran: ['--oci-ref'] })) {
      for (const [link, port] of Object.entries(links)) {
        const host = `127.0.0.1:${port}`;
        const all = programs(options);
        const found: Record<string, Cost[]> = {};
        for (let run = 0; run < runs; run++) {
          for (const [name, command] of Object.entries(all)) {
            (found[name] ??= []).push(await measure(command(host, source, fresh())));
          }
        }
        const medians = Object.entries(found).map(([name, each]) => [name, median(each)] as const);
        const theirs = medians.find(([name]) => name === 'nydusify')?.[1];
        for (const [name, cost] of medians) {
          const ratios = theirs
            ? [cost.wall / theirs.wall, cost.cpu / theirs.cpu].map(two)
            : ['', ''];
          show([image, mb, mode, link, name, ...costs(cost), ...ratios]);
        }
      }
      const host = `127.0.0.1:${registry.port}`;
      const cached = [...options, '--build-cache', `${host}/cache-${i}:${mode}`];
      const command = programs(cached)['rafs-stream']!;
      await measure(command(host, source, `again-${i}:${mode}`));
      const again: Cost[] = [];
      for (let run = 0; run < runs; run++) {
        again.push(await measure(command(host, source, `again-${i}:${mode}`)));
      }
      show([image, mb, mode, 'loopback', 'again, cached', ...costs(median(again)), '', '']);
    }
  }
  slow.close();
  if (values.only === undefined && values.scale === undefined) writeFileSync(RESULTS, page());
} finally {
  registry.stop();
  rmSync(work, { recursive: true, force: true });
}
