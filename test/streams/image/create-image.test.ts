import fs from 'node:fs';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { createImage, type CreateImageOptions } from '../../../streams/image/create-image.js';
import type { Progress } from '../../../streams/image/run-options.js';
import { succeed } from '../../support/process/cli.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { filesBelow } from '../../support/process/left.js';
import { tarOf } from '../../support/tar/tar.js';

const TAR = tarOf([
  { name: 'etc/', type: '5' },
  { name: 'etc/motd', content: 'hello\n' },
  { name: 'etc/again', content: 'hello\n' },
  { name: 'big', content: Buffer.alloc(0x30000, 'ab') },
]);

const folderWith = (t: Test): { folder: string; at: (name: string) => string } => {
  const folder = temporaryDirectory(t);
  fs.writeFileSync(path.join(folder, 'layer.tar'), TAR);
  return { folder, at: name => path.join(folder, name) };
};

t.test('files: those of the command, with their progress', async t => {
  const { at, folder } = folderWith(t);
  const seen: Progress[] = [];
  const image = await createImage({
    source: at('layer.tar'),
    bootstrap: at('boot'),
    blob: at('blob'),
    compressor: 'lz4_block',
    onProgress: progress => seen.push(progress),
  });
  const argv = ['create', '-l', 'error', '-t', 'tar-rafs', '--compressor', 'lz4_block'];
  await succeed(t, [...argv, '-B', at('b2'), '--blob', at('d2'), at('layer.tar')]);
  t.ok(fs.readFileSync(at('boot')).equals(fs.readFileSync(at('b2'))));
  t.ok(fs.readFileSync(at('blob')).equals(fs.readFileSync(at('d2'))));
  t.match(image, { bootstrap: at('boot'), blob: at('blob'), entryCount: 4, chunkSize: 0x100000 });
  t.match(seen[0], { bytesIn: 0, files: 0, bytesExpected: TAR.length });
  t.match(seen.at(-1), { bytesIn: TAR.length, bytesOut: image.bytesOut, files: 4 });
  t.same(openBelow(folder), []);
});

t.test('streams: bytes come from one, and go to two', async t => {
  const { at } = folderWith(t);
  const [blob, bootstrap] = [new PassThrough(), new PassThrough()];
  const bytes = Promise.all([buffer(blob), buffer(bootstrap)]);
  await createImage({ source: Readable.from([TAR]), blob, bootstrap });
  const [data, meta] = await bytes;
  await createImage({ source: at('layer.tar'), blob: at('blob'), bootstrap: at('boot') });
  t.ok(data.equals(fs.readFileSync(at('blob'))));
  t.ok(meta.equals(fs.readFileSync(at('boot'))));
});

t.test('many at once in one process do not touch each other', async t => {
  const { at, folder } = folderWith(t);
  const blobs = await Promise.all(
    Array.from({ length: 12 }, async (_, i) => {
      const tar = tarOf([{ name: `f${i % 3}`, content: Buffer.alloc(0x20000 + (i % 3), i % 3) }]);
      const blob = new PassThrough();
      const bytes = buffer(blob);
      await createImage({ source: Readable.from([tar]), blob, bootstrap: at(`boot${i}`) });
      return { i: i % 3, blob: await bytes, boot: fs.readFileSync(at(`boot${i}`)) };
    }),
  );
  for (const { i, blob, boot } of blobs) {
    t.ok(blob.equals(blobs[i]!.blob), `blob ${i}`);
    t.ok(boot.equals(blobs[i]!.boot), `bootstrap ${i}`);
  }
  t.not(blobs[0]!.blob.equals(blobs[1]!.blob), true);
  t.same(openBelow(folder), []);
});

t.test('a directory, into files that are named by what they hold', async t => {
  const { at, folder } = folderWith(t);
  fs.mkdirSync(at('blobs'));
  const image = await createImage({ source: folder, type: 'dir-rafs', blobDir: at('blobs') });
  t.same(filesBelow(at('blobs')).includes(image.blobs[0]!), true);
  await succeed(t, ['check', '-l', 'error', '-D', at('blobs'), image.bootstrap!]);
});

t.test('what fails leaves nothing behind', async t => {
  const { at, folder } = folderWith(t);
  const options: CreateImageOptions = {
    source: at('layer.tar'),
    blob: at('blob'),
    bootstrap: at('boot'),
  };
  const stop = new AbortController();
  stop.abort(new Error('enough'));
  await t.rejects(createImage({ ...options, signal: stop.signal }), { message: 'enough' });
  const cut = Readable.from([TAR.subarray(0, 0x5000)]);
  await t.rejects(createImage({ ...options, source: cut }), { code: 'CORRUPT' });
  const words = Readable.from(['a tar?']) as unknown as AsyncIterable<Uint8Array>;
  await t.rejects(createImage({ ...options, source: words }), {
    code: 'UNSUPPORTED',
    message: 'expected bytes from the source, got a string',
  });
  const source = new Readable({ read() {} });
  source.push(TAR.subarray(0, 0x400));
  setImmediate(() => source.destroy());
  await t.rejects(createImage({ ...options, source }), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
  const blob = new PassThrough();
  blob.destroy();
  await t.rejects(createImage({ ...options, blob }));
  t.same(filesBelow(folder), ['layer.tar']);
  t.same(openBelow(folder), []);
});

t.test('values that no type allows, and options that contradict each other', async t => {
  const { at } = folderWith(t);
  const given = { source: at('layer.tar'), blob: at('blob'), bootstrap: at('boot') };
  for (const [wrong, code] of [
    [{ fsVersion: 7 }, 'USAGE'],
    [{ type: 'zip' }, 'USAGE'],
    [{ digester: 'md5' }, 'USAGE'],
    [{ chunkSize: 4095.5 }, 'LIMIT'],
    [{ batchSize: 0x1000, fsVersion: 5 }, 'UNSUPPORTED'],
    [{ blob: undefined }, 'UNSUPPORTED'],
    [{ source: at('none') }, undefined],
  ] as const) {
    const options = { ...given, ...wrong } as CreateImageOptions;
    await t.rejects(createImage(options), code ? { code } : { message: /^failed to access path/ });
  }
  // @ts-expect-error there is no such option
  const misspelt: CreateImageOptions = { ...given, chunksize: 4096 };
  t.ok(misspelt);
});
