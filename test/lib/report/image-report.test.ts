import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { inflateRawSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { gatherImage } from '../../../lib/report/image-report.js';
import { assembleReport, packReport } from '../../../lib/report/pack.js';
import type { Report } from '../../../lib/report/report.js';
import { createImage, type CreateImageOptions } from '../../../streams/image/create-image.js';
import { readImage } from '../../../streams/image/read-image.js';
import { temporaryDirectory } from '../../support/process/fs.js';

/** Content that does not repeat and compresses a little. */
const bytesOf = (seed: number, size: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: size }, (_, i) => (seed * 31 + i * i + (i >> 3)) & 0x7f));

/** A directory, and its image. */
const imageOf = async (t: Test, options: Partial<CreateImageOptions> = {}) => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  fs.mkdirSync(at('in/src/deep'), { recursive: true });
  fs.writeFileSync(at('in/src/main.c'), bytesOf(1, 5000));
  fs.writeFileSync(at('in/src/copy.c'), bytesOf(1, 5000));
  fs.writeFileSync(at('in/src/deep/libz.so.1'), bytesOf(2, 9000));
  fs.linkSync(at('in/src/deep/libz.so.1'), at('in/src/deep/link.so'));
  fs.writeFileSync(at('in/src/empty'), '');
  fs.symlinkSync('main.c', at('in/src/to'));
  await createImage({
    source: at('in'),
    type: 'dir-rafs',
    bootstrap: at('boot'),
    blobDir: folder,
    ...options,
  });
  return { at, read: await readImage(at('boot')) };
};

for (const fsVersion of [5, 6] as const) {
  t.test(`v${fsVersion}: counts are those of find and du`, async t => {
    const { at, read } = await imageOf(t, {
      fsVersion,
      prefetch: { policy: 'fs', paths: ['/src/deep'] },
    });
    const { bootstrap, image } = read;
    const { report } = gatherImage(bootstrap, { name: 'it', image });
    const find = (...argv: string[]): string[] =>
      execFileSync('find', [at('in'), ...argv], { encoding: 'utf8' })
        .split('\n')
        .slice(0, -1);
    t.equal(report.all.files, find('-type', 'f').length);
    t.equal(report.directories, find('-type', 'd').length);
    t.equal(report.symlinks, find('-type', 'l').length);
    t.equal(report.all.size, 5000 + 5000 + 9000, 'a file with two names counts once');
    t.strictSame(
      report.kinds.map(({ kind, files, size }) => [kind, files, size]),
      [
        ['code', 2, 10_000],
        ['compiled code', 2, 9000],
        ['programs and others', 1, 0],
      ],
    );
    t.equal(report.chunks.count, 2, 'equal files have one chunk');
    t.equal(report.chunks.stored, report.blobs[0]!.used);
    t.equal(report.largest[0]!.path, 'src/deep/libz.so.1');
    t.strictSame(report.duplicates, {
      groups: 1,
      files: 2,
      size: 5000,
      largest: [{ size: 5000, count: 2, paths: ['src/copy.c', 'src/main.c'] }],
    });
    t.strictSame(report.prefetch.paths, ['/src/deep']);
    t.equal(report.prefetch.size, 9000);
  });
}

t.test('columns and JSON come back out of the packed text', async t => {
  const { read } = await imageOf(t);
  const { bootstrap, image } = read;
  const gathered = gatherImage(bootstrap, { name: 'it', image });
  const packed = packReport(assembleReport([gathered, gathered]));
  const bytes = inflateRawSync(Buffer.from(packed, 'base64'));
  const end = bytes.indexOf(0);
  const { images, pulls } = JSON.parse(bytes.toString('utf8', 0, end)) as Report;
  const columns = bytes.subarray(end + 1);
  const { names, offsets } = images[1]!.tree;
  t.equal(names, 9);
  const text = columns.toString('utf8', offsets[0], offsets[1]);
  t.strictSame(text.split('\0').slice(0, -1).sort(), [
    ...['', 'copy.c', 'deep', 'empty', 'libz.so.1', 'link.so', 'main.c', 'src', 'to'],
  ]);
  t.equal(offsets.at(-1), columns.length);
  t.strictSame(pulls[0], {
    ...{ from: 0, to: 1, chunks: 0, bytes: 0 },
    known: { chunks: 0, bytes: 0 },
  });
});
