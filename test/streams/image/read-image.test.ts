import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readImage } from '../../../streams/image/read-image.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { altered, failureOf, golden, goldenPath } from '../../support/images/golden.js';

t.test('a bootstrap keeps the ids of its blobs', async t => {
  const { bootstrap, inlined } = await readImage(goldenPath('merge.v6'));
  t.notOk(inlined);
  t.match(bootstrap.blobs[0], { id: /^f1d2eef8[0-9a-f]{56}$/ });
});

t.test('a blob with its bootstrap in it is called as its file is', async t => {
  const directory = temporaryDirectory(t);
  for (const name of ['blob', '0123.tar.zst']) {
    const file = path.join(directory, name);
    fs.copyFileSync(goldenPath('inline.kinds.zstd', 'blob'), file);
    const { bootstrap, inlined } = await readImage(file);
    t.ok(inlined);
    const [blob] = bootstrap.blobs;
    t.equal(blob!.id, name.replace(/\..*/, ''));
    t.equal(blob!.storedId, 'x'.repeat(64));
    t.equal(bootstrap.inodeCount, 29);
  }
  t.strictSame(openBelow(directory), []);
});

t.test('what is no image', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  for (const bytes of [Buffer.alloc(0), Buffer.from('text'), Buffer.alloc(100000, 7)]) {
    fs.writeFileSync(file, bytes);
    const error = await failureOf(readImage(file));
    t.match(error, { code: 'CORRUPT', message: 'invalid RAFS superblock', at: { file } });
  }
  await t.rejects(readImage(path.join(directory, 'none')), { code: 'ENOENT' });
  t.strictSame(openBelow(directory), []);
});

t.test('altered blobs: an image or a RafsError', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'blob');
  const blob = golden('inline.kinds.zstd', 'blob');
  let refused = 0;
  const tail = blob.subarray(blob.length - 4096);
  for (const wrong of altered(tail, 300)) {
    fs.writeFileSync(file, Buffer.concat([blob.subarray(0, blob.length - 4096), wrong]));
    if (await failureOf(readImage(file))) refused += 1;
  }
  t.ok(refused > 50, `${refused} are refused`);
  t.strictSame(openBelow(directory), []);
});
