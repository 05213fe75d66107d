import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { stat } from '../../../bin/commands/stat.js';
import { recordedIo } from '../../support/process/command-io.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { expected, failureOf, goldenPath } from '../../support/images/golden.js';

t.test('one image', async t => {
  const due = expected().find(({ id }) => id === 'stat.merge.v6')!.json;
  const io = recordedIo();
  const result = await stat({ bootstrap: goldenPath('merge.v6'), quiet: true }, io);
  t.equal(JSON.stringify(result), JSON.stringify(due));
  t.equal(io.text, '');
  await stat({ bootstrap: goldenPath('merge.v6') }, io);
  t.match(io.text, /^\n\nBase Image Statistics:\n\nDirectories: +7\nFiles: +5\n/);
  t.notMatch(io.text, /Target|Deduplication/);
});

t.test('a directory of images, and a target among them', async t => {
  const blobDir = temporaryDirectory(t);
  const put = (file: string, name: string): string => {
    fs.copyFileSync(goldenPath(name), path.join(blobDir, file));
    return path.join(blobDir, file);
  };
  put('one', 'layer.layer-0.v6');
  put('two', 'layer.layer-0.v6');
  put('three.boot', 'merge.v6'); // has an extension
  fs.writeFileSync(path.join(blobDir, 'other'), 'no image');
  fs.mkdirSync(path.join(blobDir, 'directory'));
  const target = put('target', 'merge.v6');
  const io = recordedIo();
  const result = await stat({ blobDir, target }, io);
  const single = await stat({ bootstrap: path.join(blobDir, 'one'), quiet: true }, io);
  t.ok(result.dedup_enabled && result.target_enabled);
  t.equal(result.base_image.files, 2 * single.base_image.files);
  t.equal(result.base_image.dedup_chunks, single.base_image.own_chunks);
  t.equal(result.target_image.files, 5);
  t.ok(result.target_image.ref_chunks > 0);
  t.match(io.text, /^Target Image.*Base Image.*Chunk Deduplication Statistics:\n/s);
});

t.test('what it needs', async t => {
  t.match(await failureOf(stat({}, recordedIo())), {
    message: 'one of `--bootstrap` and `--blob-dir` must be specified',
  });
  const io = recordedIo();
  await t.rejects(stat({ bootstrap: '/none/such' }, io), { code: 'ENOENT' });
});
