import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { BlobFeature } from '../../../lib/layout/blob.js';
import { cli, hasFailed, succeed } from '../../support/process/cli.js';
import { filesBelow } from '../../support/process/left.js';
import { buildStack, contentsOf, imageAt, stacks } from '../../support/images/stacks.js';

const PATHS = ['/a', '/b', '/c', '/d/a', '/d/b', '/d/e/f', '/none', '/d'];
const lists = fc.uniqueArray(
  fc.record({
    path: fc.constantFrom(...PATHS),
    ranges: fc.option(fc.array(fc.tuple(fc.nat(0x6000), fc.nat(0x2000)), { maxLength: 2 })),
  }),
  { selector: ({ path }) => path, minLength: 1 },
);

t.test('random stacks and lists: the image loads and its files stay', async t => {
  let number = 0;
  await fc.assert(
    fc.asyncProperty(stacks, lists, async (stack, files) => {
      const folder = t.testdir({}).concat(`/${number++}`);
      fs.mkdirSync(folder);
      const image = await buildStack(stack, folder);
      const was = imageAt(image);
      const contents = await contentsOf(was, folder);
      const list = path.join(folder, 'list.json');
      const [out, json] = [path.join(folder, 'out.boot'), path.join(folder, 'out.json')];
      fs.writeFileSync(list, JSON.stringify({ version: 'v1', files }));
      const argv = ['optimize', '-B', image, '-p', list, '-D', folder, '--output-blob-dir', folder];
      const ran = await cli([...argv, '-O', out, '-J', json, '--log-level', 'error']);
      t.match(ran, { exit: 0, stderr: '' });
      const now = imageAt(out);
      t.same(await contentsOf(now, folder), contents, 'the files are what they were');
      const ids = now.blobs.map(({ id }) => id);
      t.match(JSON.parse(fs.readFileSync(json, 'utf8')), { blobs: ids });
      t.same(
        ids.slice(0, was.blobs.length),
        was.blobs.map(({ id }) => id),
      );
      for (const blob of now.blobs.slice(was.blobs.length)) {
        t.equal(blob.compressedSize, fs.statSync(path.join(folder, blob.id)).size, 'whole file');
        if (stack.fsVersion === 6) {
          t.ok(blob.features & BlobFeature.IS_SEPARATED_WITH_PREFETCH_FILES);
          t.ok(blob.ciOffset > 0 && blob.ciUncompressedSize === 16 * blob.chunkCount);
        }
      }
      t.equal(now.digester, was.digester);
    }),
    { numRuns: 12 },
  );
});

t.test('what is wrong is said', async t => {
  const folder = t.testdir({ list: '{"version":"v2","files":[]}', text: 'a\n', blank: ' ' });
  const files = [{ name: 'a', size: 10, seed: 1, deletes: false }] as const;
  const image = await buildStack({ fsVersion: 6, layers: [{ compressor: 'none', files }] }, folder);
  const out = path.join(folder, 'out');
  const argv = (list: string): string[] => {
    const given = ['-p', path.join(folder, list), '--output-blob-dir', folder, '-D', folder];
    return ['optimize', '-B', image, '-O', out, ...given];
  };
  const before = filesBelow(folder);
  const bare = await cli(['optimize', '-B', image]);
  hasFailed(t, bare, 'no directory', 1, /missing parameter `output-blob-dir`/);
  const none = await cli(['optimize', '-B', image, '--output-blob-dir', folder]);
  hasFailed(t, none, 'no list', 1, /missing parameter `prefetch-files`/);
  const v2 = await cli(argv('list'));
  hasFailed(t, v2, 'version', 1, /unsupported prefetch file version: v2/);
  hasFailed(t, await cli(argv('text')), 'text', 1, /failed to parse prefetch file as JSON/);
  hasFailed(t, await cli(argv('nowhere')), 'no file', 1, /failed to read prefetch files/);
  t.same(filesBelow(folder), before, 'nothing is left');
  await succeed(t, [...argv('blank'), '--log-level', 'error']);
  t.equal(imageAt(out).blobs.length, 1, 'an empty list changes nothing');
});
