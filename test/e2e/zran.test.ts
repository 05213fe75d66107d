/** Images of layers that stay as they are: gzips are read back through their contexts. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { check } from '../../bin/commands/check.js';
import { unpack } from '../../bin/commands/unpack.js';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { recordedIo } from '../support/process/command-io.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { failureOf } from '../support/images/golden.js';
import { layerPath, layerTar, madeTar } from '../support/tar/layers.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Builds an image of a layer in a folder that also has the layer under its id. */
const build = async (
  t: Test,
  layer: Buffer,
  type: string,
): Promise<{ boot: string; directory: string }> => {
  const directory = temporaryDirectory(t);
  const [boot, source] = [path.join(directory, 'boot'), path.join(directory, 'source')];
  fs.writeFileSync(source, layer);
  const argv = ['create', '-l', 'warn', '-t', type, '--digester', 'sha256'];
  await succeed(t, [...argv, '-B', boot, '-D', directory, source]);
  if (type === 'targz-ref') fs.copyFileSync(source, path.join(directory, sha256(layer)));
  fs.unlinkSync(source);
  return { boot, directory };
};

const unpacked = async (t: Test, boot: string, blobDir: string): Promise<string> => {
  const output = path.join(temporaryDirectory(t), 'out.tar');
  await unpack({ bootstrap: boot, blobDir, output }, recordedIo());
  return sha256(fs.readFileSync(output));
};

const LAYERS = new Map<string, () => Buffer>([
  ...['layer-0', 'sample', 'gz-fixed', 'gz-huffman', 'gz-members', 'gz-stored'].map(
    name => [name, () => fs.readFileSync(layerPath(`${name}.tar.gz`))] as const,
  ),
  // chunks of a plain tar lie in it as they are, and have no contexts
  ['plain', () => layerTar('sample')],
  ['plain kinds', () => layerTar('kinds')],
  // dozens of contexts
  ['made', () => gzipSync(madeTar('debian', { scale: 0.1, seed: 1 }), { level: 6 })],
]);

for (const [name, bytes] of LAYERS) {
  t.test(`${name}: read where it lies it is what a Native image has`, async t => {
    const layer = bytes();
    const zran = await build(t, layer, 'targz-ref');
    const native = await build(t, layer, 'targz-rafs');
    t.equal(
      await unpacked(t, zran.boot, zran.directory),
      await unpacked(t, native.boot, native.directory),
    );
    const io = recordedIo();
    await check({ bootstrap: zran.boot, blobDir: zran.directory }, io);
    t.match(io.logged.info.join('\n'), /^verified [1-9]\d* chunks, [1-9]\d* bytes, in 1 blobs?$/m);
    t.same(io.logged.warn, []);
  });
}

t.test('a layer that was altered is refused', async t => {
  const layer = fs.readFileSync(layerPath('sample.tar.gz'));
  const { boot, directory } = await build(t, layer, 'targz-ref');
  const file = path.join(directory, sha256(layer));
  for (const at of [1000, Math.floor(layer.length / 2), layer.length - 5000]) {
    const altered = Buffer.from(layer);
    altered[at]! ^= 0x10;
    fs.writeFileSync(file, altered);
    const error = await failureOf(check({ bootstrap: boot, blobDir: directory }, recordedIo()));
    t.ok(
      error?.code === 'CORRUPT' || error?.code === 'MISMATCH',
      `${String(error?.code)} at ${at}`,
    );
  }
  fs.writeFileSync(file, layer.subarray(0, layer.length - 100_000));
  const output = path.join(directory, 'out.tar');
  const argv = ['unpack', '-l', 'warn', '-B', boot, '-D', directory, '--output', output];
  hasFailed(t, await cli(argv), 'unpack', 1);
  t.notOk(fs.existsSync(output));
});
