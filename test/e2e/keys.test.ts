/** The key of encrypted blobs lies in their bootstrap: no file that has it may be read by others. */
import fs from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { BlobEntry } from '../../lib/layout/rafs-v6.js';
import { layoutOf, taggedManifest } from '../support/images/oci-layout.js';
import { succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { filesBelow } from '../support/process/left.js';
import { layerPath } from '../support/tar/layers.js';

process.umask(0o022);

/** What `optimize` is to prefetch. */
const WANTED = JSON.stringify({
  version: 'v1',
  files: [{ path: '/etc/passwd', ranges: [[0, 1]] }],
});

/** The key that a bootstrap in clear holds. */
const keyOf = (bootstrap: Buffer): Buffer => {
  const at = parseBootstrap(bootstrap).tables.blob.offset + BlobEntry.offsets.metaDigest;
  return bootstrap.subarray(at, at + 32);
};

t.test('whatever a command writes the key into', async t => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  const layer = layerPath('kinds.tar.gz');
  for (const name of ['blobs', 'dict:1', 'compacted', 'quick']) fs.mkdirSync(at(name));
  fs.writeFileSync(at('wanted'), WANTED);
  const create = ['create', '-t', 'targz-rafs', '--compressor', 'none'];
  const encrypt = [...create, '--encrypt'];
  const run = (...argv: string[]): Promise<unknown> => succeed(t, [...argv, '-l', 'error']);

  await run(...encrypt, '-B', at('boot'), '-D', at('blobs'), layer);
  await run(...create, '-B', at('plain'), '-b', at('plain.blob'), layerPath('loose.tar.gz'));
  await run(...encrypt, '--blob-inline-meta', '-b', at('inline'), layer);
  const image = ['-B', at('boot'), '-D', at('blobs')];
  await run('merge', '-B', at('merged'), at('plain'), at('boot'));
  await run(
    ...['compact', ...image, '-O', at('compacted/boot'), '--min-used-ratio', '100'],
    ...['--compact-blob-size', '100000000', '--max-compact-size', '200000000'],
  );
  await run(
    ...['optimize', ...image, '-O', at('quick/boot'), '--output-blob-dir', at('quick')],
    ...['--prefetch-files', at('wanted')],
  );
  fs.copyFileSync(at('boot'), at('dict:1/boot'));
  await run(
    ...['chunkdict', 'generate', '-B', at('dictionary'), '--database', `sqlite://${at('db')}`],
    at('dict:1/boot'),
  );
  const key = keyOf(fs.readFileSync(at('boot')));
  const holders = filesBelow(folder).filter(name => {
    const stat = fs.statSync(at(name));
    return stat.isFile() && fs.readFileSync(at(name)).includes(key);
  });
  t.match(
    new Set(holders),
    new Set(['boot', 'compacted/boot', 'db', 'dict:1/boot', 'merged', 'quick/boot']),
    'the key is found in them',
  );
  // a run of its own makes a key of its own
  for (const name of [...holders, 'inline']) {
    t.equal(fs.statSync(at(name)).mode & 0o777, 0o600, name);
  }
  for (const name of ['plain', 'plain.blob']) {
    t.equal(fs.statSync(at(name)).mode & 0o777, 0o644, `${name} holds none`);
  }
});

t.test('images that are converted and copied', async t => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  const tar = gunzipSync(fs.readFileSync(layerPath('kinds.tar.gz')));
  layoutOf(at('source'), { layers: [{ tar }] });
  const run = (...argv: string[]): Promise<unknown> => succeed(t, [...argv, '-l', 'error']);
  await run('convert', '--encrypt', `oci:${at('source')}:t`, `oci:${at('nydus')}:t`);
  await run('convert', '--encrypt', `oci:${at('source')}:t`, `oci-archive:${at('made.tar')}:t`);
  await run('copy', `oci:${at('nydus')}:t`, `oci:${at('copied')}:t`);
  await run('copy', `oci:${at('nydus')}:t`, `oci-archive:${at('copied.tar')}:t`);
  for (const name of ['made.tar', 'copied.tar']) {
    t.equal(fs.statSync(at(name)).mode & 0o777, 0o600, name);
  }
  for (const layout of ['nydus', 'copied']) {
    const blobs = at(`${layout}/blobs/sha256`);
    const { layers } = taggedManifest(at(layout), 't');
    t.equal(layers.length, 2, 'a blob and the bootstrap');
    for (const { digest } of layers) {
      const { mode } = fs.statSync(path.join(blobs, digest.slice(7)));
      t.equal(mode & 0o777, 0o600, `${layout}: ${digest}`);
    }
  }
});
