import fs from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { checkImage } from '../../../streams/image/check-image.js';
import { exportImage, imageDisk } from '../../../streams/image/export-image.js';
import { mergeImages } from '../../../streams/image/merge-images.js';
import { openBlobs } from '../../../streams/image/open-blobs.js';
import { readImage } from '../../../streams/image/read-image.js';
import type { Progress } from '../../../streams/image/run-options.js';
import { imageTar, unpackImage } from '../../../streams/image/unpack-image.js';
import { golden, goldenFolder, goldenPath } from '../../support/images/golden.js';
import { succeed } from '../../support/process/cli.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';

const KINDS = 'tar-rafs.kinds.zstd.v6';
const blobs = goldenFolder(KINDS);

t.test(
  'the tar is that of the program less its names of users, as a file and as a stream',
  async t => {
    const folder = temporaryDirectory(t);
    const at = (file: string): string => path.join(folder, file);
    const seen: Progress[] = [];
    const made = await unpackImage(goldenPath(KINDS), {
      blobs,
      output: at('tar'),
      onProgress: progress => seen.push(progress),
    });
    const tar = imageTar(golden(KINDS), { blobs });
    const bytes = await buffer(tar);
    t.ok(bytes.equals(fs.readFileSync(at('tar'))));
    t.match(made, { output: at('tar'), bytesOut: bytes.length, entryCount: 28 });
    t.match(await tar.result, { output: undefined, bytesOut: bytes.length });
    t.match(seen.at(-1), { files: 28, bytesOut: bytes.length });
    await succeed(t, [
      'unpack',
      '-B',
      goldenPath(KINDS),
      '-D',
      blobs,
      '--output',
      at('tar2'),
      '-l',
      'error',
    ]);
    t.equal(fs.statSync(at('tar2')).size, bytes.length);
  },
);

t.test('what is given up leaves neither files nor descriptors', async t => {
  const folder = temporaryDirectory(t);
  const output = path.join(folder, 'out');
  const signal = AbortSignal.abort();
  const given: readonly Promise<unknown>[] = [
    unpackImage(goldenPath(KINDS), { blobs, output, signal }),
    exportImage(goldenPath(KINDS), { blobs, output, signal }),
    checkImage(goldenPath(KINDS), { blobs, signal }),
    mergeImages([goldenPath(KINDS)], { bootstrap: output, signal }),
  ];
  for (const work of given) await t.rejects(work, { name: 'AbortError' });
  const tar = imageTar(goldenPath(KINDS), { blobs });
  tar.once('data', () => tar.destroy());
  await t.rejects(tar.result);
  await new Promise(resolve => (tar.closed ? resolve(0) : tar.once('close', resolve)));
  t.same(fs.readdirSync(folder), []);
  await t.rejects(unpackImage(goldenPath(KINDS), { output }), { code: 'USAGE' });
  const image = await readImage(goldenPath(KINDS));
  await t.rejects(openBlobs(image, { blobDir: folder }, { bytesIn: 0 }), { code: 'ENOENT' });
  t.same(fs.readdirSync(folder), []);
  t.same(openBelow(blobs), []);
});

t.test('the disk is the same as a file and as a stream, with the same root', async t => {
  const output = path.join(temporaryDirectory(t), 'disk');
  for (const options of [{ verity: true }, { compressor: 'zstd' }, {}] as const) {
    const made = await exportImage(goldenPath(KINDS), { blobs, output, ...options });
    const disk = imageDisk(goldenPath(KINDS), { blobs, ...options });
    const bytes = await buffer(disk);
    t.equal(bytes.length, made.size);
    t.ok(bytes.equals(fs.readFileSync(output)));
    t.same(await disk.result, { ...made, output: undefined });
  }
});

t.test('checks and merges say what they found and made', async t => {
  const bootstrap = path.join(temporaryDirectory(t), 'merged');
  const found = await checkImage(goldenPath(KINDS), { blobs });
  t.match(found, { fsVersion: 6, chunks: 11, entryCount: 29 });
  t.same(found.verifiedBlobs, found.blobs);
  t.same((await checkImage(golden(KINDS))).verifiedBlobs, [], 'without blobs');
  const layers = ['layer.layer-0.v6', KINDS].map(name => goldenPath(name));
  const merged = await mergeImages(layers, { bootstrap });
  t.equal(merged.bootstrap, bootstrap);
  const again = `${bootstrap}2`;
  const argv = ['merge', '-l', 'error', '-B', again, ...layers];
  await succeed(t, argv);
  t.ok(fs.readFileSync(bootstrap).equals(fs.readFileSync(again)));
  await t.rejects(mergeImages([], { bootstrap }), { code: 'USAGE' });
  await t.rejects(mergeImages([bootstrap], {}), { code: 'USAGE' });
});
