import path from 'node:path';
import t from 'tap';
import {
  failingWith,
  openChunkDict,
  openLayer,
  openParent,
} from '../../../streams/image/open-layers.js';
import { settingsOf } from '../../../lib/bootstrap/settings.js';
import { describe } from '../../../lib/errors.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { openBelow } from '../../support/process/fs.js';
import { golden, goldenFolder, goldenPath } from '../../support/images/golden.js';

const PATH = goldenPath('layer.layer-0.v6');
const due = settingsOf(parseBootstrap(golden('layer.layer-0.v6')));

t.test('a parent and a dictionary', async t => {
  const parent = await openParent(PATH, due);
  t.ok(parent.chunks.count > 20 && parent.tree.find('bin/sh') > 0);
  const dict = await openChunkDict(`bootstrap=${PATH}`, due);
  t.equal((await openChunkDict(PATH, due)).count, dict.count);
  t.equal(dict.count, 27);
  t.equal((await openChunkDict(PATH, { ...due, digester: 'sha256' })).count, 0, 'silently none');
  const inlined = path.join(goldenFolder('inline.kinds.zstd'), 'blob');
  t.equal((await openChunkDict(inlined, due)).blobs[0]!.id, 'blob', 'a blob is named by its file');
});

t.test('those with other settings are UNSUPPORTED: create ends with status 1', async t => {
  for (const open of [openParent, openChunkDict]) {
    const opened: Promise<unknown> = open(PATH, { ...due, chunkSize: 4096 });
    await t.rejects(opened, {
      code: 'UNSUPPORTED',
      message: /^Inconsistent RAFS Filesystem: Inconsistent configuration of chunk_size/,
      at: { file: PATH },
    });
  }
});

t.test('what is wrong with a file is the cause of one error', async t => {
  const error = await openLayer('/none', 'load it').then(
    () => undefined,
    (error: unknown) => error,
  );
  t.match(describe(error), /^load it "\/none": ENOENT/);
  await t.rejects(openChunkDict('/none', due), {
    message: 'failed to open bootstrap file "/none"',
  });
  await t.rejects(openParent('/none', due), { message: 'failed to load parent bootstrap "/none"' });
  t.equal(await failingWith('x', () => 5), 5);
  t.same(openBelow(goldenFolder('layer.layer-0.v6')), []);
});
