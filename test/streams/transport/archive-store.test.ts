/** Images in directories and archives: what skopeo has written, and what it reads of ours. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { parseManifest, type Manifest } from '../../../lib/oci/manifest.js';
import { openImageSource, openImageTarget } from '../../../streams/transport/open-transport.js';
import type { ImageSource } from '../../../streams/transport/source.js';
import { digestOf, layoutOf, withoutProgram } from '../../support/images/oci-layout.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { tarOf } from '../../support/tar/tar.js';

const LAYERS = [{ tar: tarOf([{ name: 'a', content: 'one' }]) }, { tar: tarOf([{ name: 'b' }]) }];
const skip = withoutProgram('skopeo', '--version');
const { signal } = new AbortController();

/** An image in each form, by skopeo. */
const images = (t: Test) => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  layoutOf(at('src'), { layers: LAYERS });
  const copy = (to: string) =>
    execFileSync('skopeo', ['copy', '-q', '--insecure-policy', `oci:${at('src')}:t`, to]);
  copy(`oci:${at('layout')}:1.0`);
  copy(`oci-archive:${at('oci.tar')}:1.0`);
  copy(`docker-archive:${at('docker.tar')}:example/app:1.0`);
  return { folder, at };
};

const manifestOf = async (source: ImageSource): Promise<Manifest> => {
  const raw = await source.manifest();
  t.equal(digestOf(raw.bytes), raw.digest);
  const manifest = parseManifest(raw);
  if (manifest.kind !== 'manifest') throw new Error('an index');
  return manifest;
};

t.test('images that skopeo has written', { skip }, async t => {
  const { at } = images(t);
  for (const name of [
    `oci:${at('src')}`,
    `oci:${at('layout')}:1.0`,
    `oci-archive:${at('oci.tar')}:1.0`,
    `oci-archive:${at('oci.tar')}`,
    `docker-archive:${at('docker.tar')}:example/app:1.0`,
    `docker-archive:${at('docker.tar')}`,
  ]) {
    const source = await openImageSource(name, { signal });
    const { layers, config } = await manifestOf(source);
    const isDocker = name.startsWith('docker');
    // in a docker-archive layers are plain tars
    const due = LAYERS.map(({ tar }) => digestOf(isDocker ? tar : gzipSync(tar)));
    t.same(
      layers.map(({ digest }) => digest),
      due,
      name,
    );
    for (const blob of [config, ...layers]) {
      const bytes = await buffer(await source.open(blob));
      t.equal(digestOf(bytes), blob.digest);
      const part = await buffer(await source.open(blob, { offset: 3, length: 7 }));
      t.ok(part.equals(bytes.subarray(3, 10)), 'and a range of it');
    }
    const missing = { digest: `sha256:${'0'.repeat(64)}`, size: 1 };
    await t.rejects(async () => buffer(await source.open(missing)), { name: 'RafsError' });
    await source.close();
    const other = `${name.replace(/(?<=\.tar|layout|src):.*$/, '')}:other`;
    await t.rejects(async () => (await openImageSource(other, { signal })).manifest(), other);
  }
});

t.test('images that skopeo reads', { skip }, async t => {
  const { at } = images(t);
  const source = await openImageSource(`oci:${at('src')}:t`, { signal });
  const raw = await source.manifest();
  const { layers, config } = await manifestOf(source);
  for (const name of [`oci:${at('new')}:2.0`, `oci-archive:${at('new.tar')}:2.0`]) {
    const target = await openImageTarget(name, { signal });
    for (const blob of [config, ...layers]) {
      t.equal(await target.has(blob), false);
      const put = await target.put(await source.open(blob), blob);
      t.equal(put.digest, blob.digest);
    }
    const bad = { digest: config.digest };
    await t.rejects(target.put(await source.open(layers[0]!), bad), { code: 'MISMATCH' });
    await target.putManifest(raw.bytes, raw.mediaType, {});
    await target.close();
    const inspected = execFileSync('skopeo', ['inspect', '--raw', name]);
    t.ok(inspected.equals(raw.bytes), name);
    execFileSync('skopeo', ['copy', '-q', '--insecure-policy', name, `dir:${at('copy')}`]);
    fs.rmSync(at('copy'), { recursive: true });
  }
  await source.close();
});

t.test('an archive that is not completed does not come to be', async t => {
  const folder = temporaryDirectory(t);
  const target = await openImageTarget(`oci-archive:${folder}/new.tar:1`, { signal });
  await target.put(
    (async function* () {
      yield Buffer.from('x');
    })(),
    {},
  );
  await target.close();
  t.same(fs.readdirSync(folder), []);
});
