import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { ExtendedSuperBlock, V6 } from '../../../lib/layout/rafs-v6.js';
import { createImage, type CreateImageOptions } from '../../../streams/image/create-image.js';
import { checkImage } from '../../../streams/image/check-image.js';
import { exportImage } from '../../../streams/image/export-image.js';
import { mergeImages } from '../../../streams/image/merge-images.js';
import { unpackImage } from '../../../streams/image/unpack-image.js';
import { openReaderAt } from '../../../streams/io/reader-at.js';
import { findBootstrap } from '../../../streams/read/bootstrap-place.js';
import { BOOTSTRAPS, BOOTSTRAPS_V5, failureOf, goldenPath } from '../../support/images/golden.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { tarOf, type TarEntry } from '../../support/tar/tar.js';

const VERSIONS = [5, 6] as const;

/** The names in an image, as GNU tar lists what it unpacks to. */
const namesIn = async (blob: string, blobDir = path.dirname(blob)): Promise<string[]> => {
  const tar = `${blob}.unpacked`;
  await unpackImage(blob, { blobs: blobDir, output: tar });
  return execFileSync('tar', ['-tf', tar], { encoding: 'utf8' }).trim().split('\n');
};

const build = async (
  t: Test,
  entries: readonly TarEntry[],
  options: Partial<CreateImageOptions> = {},
): Promise<{ blob: string; bootstrap: string }> => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const tar = tarOf(entries);
  fs.writeFileSync(at('tar'), options.type === 'targz-ref' ? gzipSync(tar) : tar);
  const inline = options.inlineBootstrap ? {} : { bootstrap: at('boot') };
  const blob = at('blob');
  const compressor = options.type === 'targz-ref' ? {} : ({ compressor: 'none' } as const);
  await createImage({ source: at('tar'), blob, ...compressor, ...inline, ...options });
  return { blob, bootstrap: at('boot') };
};

t.test('a blob is not what its first file is', async t => {
  for (const version of VERSIONS) {
    const inner = await build(t, [{ name: 'inner', content: 'in' }], { fsVersion: version });
    const first = { name: 'first', content: fs.readFileSync(inner.bootstrap) };
    const entries = [first, { name: 'second', content: 'x' }];
    for (const fsVersion of VERSIONS) {
      const label = `v${version} in v${fsVersion}`;
      const plain = await build(t, entries, { fsVersion });
      const error = await failureOf(checkImage(plain.blob, { blobs: path.dirname(plain.blob) }));
      t.match(error, { code: 'CORRUPT' }, `${label}: no bootstrap in it`);
      const inline = await build(t, entries, { fsVersion, inlineBootstrap: true });
      t.same(await namesIn(inline.blob), ['first', 'second'], `${label}: inline`);
      if (fsVersion === 5) continue;
      const toc = await build(t, entries, { fsVersion, inlineBootstrap: true, toc: true });
      t.same(await namesIn(toc.blob), ['first', 'second'], `${label}: inline, with a TOC`);
      const apart = await build(t, entries, { fsVersion, toc: true });
      const message = 'the file is a blob that has no bootstrap in it';
      t.match(await failureOf(checkImage(apart.blob)), { code: 'CORRUPT', message }, label);
    }
  }
});

t.test('a file that could be read as two images is refused', async t => {
  const inner = await build(t, [{ name: 'inner', content: 'in' }]);
  const bootstrap = fs.readFileSync(inner.bootstrap);
  const entries = (padding: number): TarEntry[] => [
    { name: 'first', content: bootstrap },
    { name: 'pad', content: Buffer.alloc(padding, 1) },
  ];
  const inlineBootstrap = true;
  const { size } = fs.statSync((await build(t, entries(4096), { inlineBootstrap })).blob);
  const padding = 4096 + ((4096 - (size % 4096)) % 4096);
  // its chunk table would end with the file
  const head = ExtendedSuperBlock.decode(bootstrap, V6.EXTENDED_OFFSET);
  const chunkTableSize = size - 4096 + padding - head.chunkTableOffset;
  ExtendedSuperBlock.encodeInto(bootstrap, V6.EXTENDED_OFFSET, { ...head, chunkTableSize });
  const { blob } = await build(t, entries(padding), { inlineBootstrap });
  t.equal(fs.statSync(blob).size % 4096, 0);
  t.match(await failureOf(checkImage(blob)), { code: 'CORRUPT', message: /both/ });
});

t.test('a layer of whiteouts only', async t => {
  const lower = await build(
    t,
    [
      { name: 'gone', content: 'x' },
      { name: 'kept', content: 'y' },
    ],
    { inlineBootstrap: true },
  );
  for (const options of [{}, { toc: true }, { type: 'targz-ref' }] as const) {
    const label = JSON.stringify(options);
    const entries = [{ name: '.wh.gone' }];
    const { blob } = await build(t, entries, { inlineBootstrap: true, ...options });
    t.match(await checkImage(blob), { entryCount: 2 }, `${label}: check`);
    t.same(await namesIn(blob), ['.wh.gone'], `${label}: unpack`);
    const merged = `${blob}.merged`;
    await mergeImages([lower.blob, blob], { bootstrap: merged });
    t.same(await namesIn(merged, path.dirname(lower.blob)), ['kept'], `${label}: merge`);
    const output = `${blob}.disk`;
    await exportImage(blob, { output, blobs: path.dirname(blob) });
    t.ok(fs.statSync(output).size > 0, `${label}: export`);
  }
});

t.test('bootstraps of nydus-image are read from end to end, and nothing behind them', async t => {
  const directory = temporaryDirectory(t);
  for (const name of [...BOOTSTRAPS, ...BOOTSTRAPS_V5]) {
    const file = path.join(directory, name);
    fs.copyFileSync(goldenPath(name), file);
    const { size } = fs.statSync(file);
    t.match(await placeIn(file), { inlined: false, section: { offset: 0, size } }, name);
    fs.appendFileSync(file, Buffer.alloc(4096, 7));
    t.match(
      await failureOf(placeIn(file)),
      { code: 'CORRUPT', message: `${size} bytes, the file ${size + 4096}` },
      name,
    );
  }
});

t.test('a disk image is read as its bootstrap', async t => {
  const { blob, bootstrap } = await build(t, [{ name: 'a', content: 'x' }], { blobId: 'blob' });
  const output = `${blob}.disk`;
  await exportImage(bootstrap, { output, blobs: path.dirname(blob) });
  const { size } = fs.statSync(bootstrap);
  t.match(await placeIn(output), { inlined: false, section: { offset: 0, size } });
  t.match(await checkImage(output), { entryCount: 2 });
});

const placeIn = async (file: string) => {
  const source = await openReaderAt(file);
  try {
    return await findBootstrap(source);
  } finally {
    await source.close();
  }
};
