import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createImage, type CreateImageOptions } from '../../../streams/image/create-image.js';
import { FileReader } from '../../../streams/image/file-reader.js';
import { openImage } from '../../../streams/image/open-image.js';
import { readImage } from '../../../streams/image/read-image.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { tarOf } from '../../support/tar/tar.js';

const LAYER = fileURLToPath(
  new URL('../../../../test/fixtures/layers/sample.tar.gz', import.meta.url),
);

const FORMATS: readonly (readonly [string, Partial<CreateImageOptions>])[] = [
  ['v6', {}],
  ['v5', { fsVersion: 5, compressor: 'lz4_block' }],
  ['batches', { batchSize: 0x10000, chunkSize: 0x10000 }],
  ['encrypted', { encrypt: true }],
  ['zran', { type: 'targz-ref' }],
];

for (const [name, options] of FORMATS) {
  t.test(
    `${name}: files are what GNU tar reads of the layer, in any order and at once`,
    async t => {
      const folder = temporaryDirectory(t);
      const at = (file: string): string => path.join(folder, file);
      const { blobs } = await createImage({
        source: LAYER,
        bootstrap: at('boot'),
        blobDir: folder,
        ...options,
      });
      if (name === 'zran') fs.copyFileSync(LAYER, at(blobs[0]!));
      const image = await openImage(at('boot'), { blobs: folder });
      const files = [...image.walk()].filter(({ type, size }) => type === 'file' && size > 0);
      t.ok(files.length > 0);
      fs.mkdirSync(at('tree'));
      execFileSync('tar', ['-C', at('tree'), '--no-same-owner', '-xzf', LAYER]);
      await Promise.all(
        files.toReversed().map(async ({ path: file, pathBytes, size }) => {
          const bytes = await buffer(image.readFile(pathBytes));
          t.equal(bytes.length, size);
          t.ok(bytes.equals(fs.readFileSync(path.join(at('tree'), file))), file);
        }),
      );
      t.ok(image.blobs().every(({ usedChunks }) => usedChunks > 0));
      await image.close();
      t.same(openBelow(folder), []);
    },
  );
}

t.test('an image in one file needs nothing else, as a path and as bytes', async t => {
  const folder = temporaryDirectory(t);
  const file = path.join(folder, 'blob');
  const source = [
    tarOf([
      { name: 'a/', type: '5' },
      { name: 'a/b', content: 'hello' },
    ]),
  ];
  await createImage({ source: asyncOf(source), blob: file, inlineBootstrap: true });
  for (const input of [file, fs.readFileSync(file)]) {
    const image = await openImage(input);
    t.equal((await buffer(image.readFile('/a/b'))).toString(), 'hello');
    t.same(
      image.list('/a').map(entry => entry.path),
      ['a/b'],
    );
    t.equal(image.stat('a/b/c'), undefined);
    t.equal(image.stat('nowhere'), undefined);
    t.match(image.stat(''), { type: 'directory', path: '' });
    t.throws(() => image.readFile('a'), {
      code: 'USAGE',
      message: 'expected a file, got a directory',
    });
    t.throws(() => image.list('b'), { code: 'USAGE', at: { path: '/b' } });
    await image.close();
  }
  await t.rejects(openImage(Buffer.alloc(5000, 1)), { code: 'CORRUPT' });
  await t.rejects(openImage({} as never), { code: 'USAGE' });
});

t.test('a damaged chunk, and a blob that is not there', async t => {
  const folder = temporaryDirectory(t);
  const at = (file: string): string => path.join(folder, file);
  const source = [tarOf([{ name: 'f', content: 'hello' }])];
  const build = { bootstrap: at('boot'), blob: at('blob'), compressor: 'none' } as const;
  await createImage({ source: asyncOf(source), ...build });
  const bytes = fs.readFileSync(at('blob'));
  bytes[bytes.indexOf('hello')]! ^= 1;
  fs.writeFileSync(at('blob'), bytes);
  const image = await openImage(at('boot'), { blobs: { blobFile: at('blob') } });
  await t.rejects(buffer(image.readFile('f')), { code: 'MISMATCH', at: { path: '/f', chunk: 0 } });
  await image.close();
  const alone = await openImage(at('boot'), { blobs: at('none') });
  await t.rejects(buffer(alone.readFile('f')), { code: 'ENOENT' });
  const unknown = await openImage(at('boot'));
  await t.rejects(buffer(unknown.readFile('f')), { code: 'USAGE' });
  const aborted = new AbortController();
  const stream = image.readFile('f', { signal: aborted.signal });
  aborted.abort();
  await t.rejects(buffer(stream), { name: 'AbortError' });
  const reader = new FileReader(await readImage(at('boot')), folder);
  await reader.close(); // nothing was read
  t.same(openBelow(folder), []);
});

async function* asyncOf(pieces: readonly Buffer[]): AsyncIterable<Buffer> {
  yield* pieces;
}
