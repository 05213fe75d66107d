import fs from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { checkImage } from '../../../streams/image/check-image.js';
import { createImage } from '../../../streams/image/create-image.js';
import { mergeImages } from '../../../streams/image/merge-images.js';
import { compactImage } from '../../../streams/rewrite/compact-image.js';
import { optimizeImage } from '../../../streams/rewrite/optimize-image.js';
import { rewriteTo } from '../../../streams/rewrite/rewritten-image.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { tarOf } from '../../support/tar/tar.js';

async function* tar(name: string): AsyncIterable<Buffer> {
  yield tarOf([{ name, content: name.repeat(100) }]);
}

t.test('two small blobs become one, and what is wanted first another', async t => {
  const folder = temporaryDirectory(t);
  const at = (file: string): string => path.join(folder, file);
  for (const name of ['a', 'b']) {
    await createImage({ source: tar(name), bootstrap: at(name), blobDir: folder });
  }
  await mergeImages([at('a'), at('b')], { bootstrap: at('both') });
  const compacted = await compactImage(at('both'), { bootstrap: at('one'), blobDir: folder });
  t.same(compacted.blobs, compacted.newBlobs);
  t.equal((await checkImage(at('one'), { blobs: folder })).chunks, 2);
  const again = await compactImage(at('one'), { bootstrap: at('none'), blobDir: folder });
  t.match(again, { blobs: compacted.blobs, newBlobs: [] }, 'nothing to do');
  t.ok(fs.readFileSync(at('none')).equals(fs.readFileSync(at('one'))));
  const stream = new PassThrough();
  const bytes = buffer(stream);
  const quick = { blobDir: folder, blobs: folder, prefetch: ['/a'] };
  const optimized = await optimizeImage(at('one'), { bootstrap: stream, ...quick });
  t.equal(optimized.blobs.length, 2);
  t.equal((await checkImage(await bytes, { blobs: folder })).chunks, 2);
  const failing = rewriteTo(at('failed'), {}, () => Promise.reject(new Error('no')));
  await t.rejects(failing, { message: 'no' });
  t.notOk(fs.existsSync(at('failed')));
});
