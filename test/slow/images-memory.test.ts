/** Memory of conversions: it grows neither with the number of images nor with the size of a layer. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createGzip } from 'node:zlib';
import t from 'tap';
import { LAYERS, makeLayer } from '../../benchmarks/layers.js';
import { layoutOf, withoutProgram, writeLayout } from '../support/images/oci-layout.js';
import { CLI, PLAIN } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { startRegistry, withoutRegistry } from '../support/servers/storage-servers.js';
import { tarOf } from '../support/tar/tar.js';

const MANY = fileURLToPath(new URL('../support/images/many-images.js', import.meta.url));
const [program, ...plain] = PLAIN;

const skip = withoutRegistry() || withoutProgram('skopeo', '--version');

t.test('a thousand images in one process', { skip, timeout: 1_800_000 }, async t => {
  const directory = temporaryDirectory(t);
  const storage = { filesystem: { rootdirectory: path.join(directory, 'registry') } };
  const host = await startRegistry(t, directory, { storage });
  const layers = ['a', 'b', 'c'].map(name => ({
    tar: tarOf([{ name, content: Buffer.alloc(200_000, name) }]),
  }));
  layoutOf(path.join(directory, 'src'), { layers });
  const argv = ['copy', '-q', '--dest-tls-verify=false', `oci:${directory}/src:t`];
  execFileSync('skopeo', [...argv, `docker://${host}/small:1`]);
  const command = [...plain, process.execPath, MANY, host, 'small:1', '1000', '100'];
  const lines = execFileSync(program, command).toString().trim().split('\n');
  const figures = lines.map(line => Number(line.split(' ')[1]));
  t.comment(`MiB after each hundred: ${figures.join(' ')}`);
  t.equal(figures.length, 10);
  const most = (from: number, to: number): number => Math.max(...figures.slice(from, to));
  t.ok(
    most(7, 10) < most(1, 4) * 1.1 + 8,
    'the last three hundred take what the second to fourth took',
  );
});

const withoutTime = spawnSync('time', ['-f', '%M', 'true']).error !== undefined && 'needs GNU time';

t.test('a layer of 1.4 GB', { skip: skip || withoutTime, timeout: 1_800_000 }, async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  fs.mkdirSync(at('src/blobs/sha256'), { recursive: true });
  const [tar, gzip] = [createHash('sha256'), createHash('sha256')];
  async function* hashed(
    bytes: AsyncIterable<Buffer> | Iterable<Buffer>,
    hash: typeof tar,
  ): AsyncGenerator<Buffer> {
    for await (const piece of bytes) {
      hash.update(piece);
      yield piece;
    }
  }
  const file = at('src/layer');
  await pipeline(
    hashed(makeLayer(LAYERS['1g']), tar),
    createGzip({ level: 1 }),
    bytes => hashed(bytes as AsyncIterable<Buffer>, gzip),
    fs.createWriteStream(file),
  );
  const put = (bytes: Buffer, mediaType: string) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    fs.writeFileSync(at(`src/blobs/sha256/${hex}`), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const hex = gzip.digest('hex');
  const { size } = fs.statSync(file);
  t.ok(size > 400_000_000, `${size} bytes`);
  fs.renameSync(file, at(`src/blobs/sha256/${hex}`));
  const platform = { architecture: 'amd64', os: 'linux' };
  const rootfs = { type: 'layers', diff_ids: [`sha256:${tar.digest('hex')}`] };
  const oci = 'application/vnd.oci.image';
  const manifest = {
    schemaVersion: 2,
    mediaType: `${oci}.manifest.v1+json`,
    config: put(Buffer.from(JSON.stringify({ ...platform, rootfs })), `${oci}.config.v1+json`),
    layers: [{ mediaType: `${oci}.layer.v1.tar+gzip`, digest: `sha256:${hex}`, size }],
  };
  writeLayout(at('src'), {
    t: put(Buffer.from(JSON.stringify(manifest)), `${oci}.manifest.v1+json`),
  });
  const storage = { filesystem: { rootdirectory: at('registry') } };
  const host = await startRegistry(t, directory, { storage });
  const argv = ['copy', '-q', '--dest-tls-verify=false', `oci:${at('src')}:t`];
  execFileSync('skopeo', [...argv, `docker://${host}/large:1`]);
  for (const [kind, options] of Object.entries({
    native: [],
    zran: ['--oci-ref'],
    flat: ['--flatten'],
  })) {
    const figures = at('figures');
    const timed = [...plain, 'time', '-f', '%M', '-o', figures, process.execPath, CLI];
    const convert = ['convert', '-l', 'warn', `${host}/large:1`, `${host}/large-${kind}:1`];
    execFileSync(program, [...timed, ...convert, ...options]);
    const mib = Number(fs.readFileSync(figures, 'utf8')) / 1024;
    t.comment(`${kind}: ${mib.toFixed(0)} MiB`);
    t.ok(mib <= 256, `${kind}: ${mib.toFixed(0)} MiB`);
  }
});
