import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { compact, defaultOutput } from '../../bin/compact.js';
import { isCopyable, usageOf } from '../../lib/compact.js';
import { loadImage } from '../../lib/load-tree.js';
import type { CommandContext } from '../../bin/command.js';
import { cli, hasFailed } from '../support/cli.js';
import { recordedIo } from '../support/command-io.js';
import { filesBelow } from '../support/left.js';
import { buildStack, contentsOf, imageAt, stacks, type Stack } from '../support/stacks.js';

const context = () => {
  const io = recordedIo();
  return {
    io,
    context: {
      ...io,
      progress: 'none',
      signal: new AbortController().signal,
    } as unknown as CommandContext, // of the log only what commands call is here
  };
};

const run = async (
  bootstrap: string,
  folder: string,
  options: Record<string, string> = {},
): Promise<{ out: string; json: string }> => {
  const out = path.join(folder, 'out.boot');
  const json = path.join(folder, 'out.json');
  await compact(
    {
      command: 'compact',
      values: {
        bootstrap,
        'blob-dir': folder,
        'output-bootstrap': out,
        'output-json': json,
        'min-used-ratio': '0',
        'compact-blob-size': '10485760',
        'max-compact-size': '104857600',
        'layers-to-compact': '0',
        ...options,
      },
    } as unknown as Parameters<typeof compact>[0], // as the parser makes it
    context().context,
  );
  return { out, json };
};

const sizesOf = (folder: string, names: readonly string[]): number =>
  names.reduce((sum, name) => sum + fs.statSync(path.join(folder, name)).size, 0);

const hidden: Stack = {
  fsVersion: 6,
  layers: [
    {
      compressor: 'zstd',
      files: [
        { name: 'a', size: 0x3000, seed: 1, deletes: false },
        { name: 'b', size: 0x3000, seed: 11, deletes: false },
      ],
    },
    { compressor: 'zstd', files: [{ name: 'a', size: 0x100, seed: 30, deletes: false }] },
  ],
};

t.test('random stacks: the tree, every byte and every digest stay', async t => {
  let number = 0;
  let compacted = 0;
  await fc.assert(
    fc.asyncProperty(
      stacks,
      fc.constantFrom(0, 30, 60, 99),
      fc.constantFrom(0, 0x1000, 0x4000, 10485760),
      fc.constantFrom(0, 0x1000, 104857600),
      async (stack, ratio, small, most) => {
        const folder = t.testdir({}).concat(`/${number++}`);
        fs.mkdirSync(folder);
        const image = await buildStack(stack, folder);
        const before = filesBelow(folder);
        const bytes = before.map(name => fs.readFileSync(path.join(folder, name)));
        const was = imageAt(image);
        const contents = await contentsOf(was, folder);
        const { out, json } = await run(image, folder, {
          'min-used-ratio': String(ratio),
          'compact-blob-size': String(small),
          'max-compact-size': String(most),
        });
        before.forEach((name, i) => {
          if (!fs.readFileSync(path.join(folder, name)).equals(bytes[i]!)) throw new Error(name);
        });
        const after = filesBelow(folder).filter(name => !before.includes(name));
        if (!fs.existsSync(out)) {
          t.same(after, [], 'nothing was done and nothing is left');
          return;
        }
        compacted++;
        const now = imageAt(out);
        const ids = now.blobs.map(({ id }) => id);
        t.same(await contentsOf(now, folder), contents, 'the files are what they were');
        t.match(JSON.parse(fs.readFileSync(json, 'utf8')), { blobs: ids });
        t.ok(
          after.every(name => ['out.boot', 'out.json', ...ids].includes(name)),
          'nothing else is left',
        );
        t.equal(now.prefetch.length, was.prefetch.length, 'inodes to read ahead stay so');
        const grown =
          sizesOf(folder, ids) -
          sizesOf(
            folder,
            was.blobs.map(({ id }) => id),
          );
        t.ok(grown <= 0, `blobs grew by ${grown} bytes`);
        const usage = usageOf(loadImage(now).chunks, ids.length);
        now.blobs.forEach((blob, i) => {
          const percent = Math.floor((usage[i]!.size * 100) / blob.compressedSize);
          t.ok(isCopyable(blob) && usage[i]!.chunks > 0, 'a blob that is used');
          t.ok(percent >= ratio || usage[i]!.chunks === blob.chunkCount, 'a blob used enough');
        });
      },
    ),
    { numRuns: 150 },
  );
  t.ok(compacted > 30, `${compacted} images were compacted`);
});

t.test('small blobs become one, and only blobs that are like each other', async t => {
  const folder = t.testdir({});
  const other = { ...hidden.layers[1]!, compressor: 'none' as const };
  const image = await buildStack(
    {
      fsVersion: 6,
      layers: [
        ...hidden.layers,
        { ...other, files: [{ name: 'c', size: 0x2000, seed: 9, deletes: false }] },
      ],
    },
    folder,
  );
  const { out } = await run(image, folder);
  t.same(
    imageAt(out).blobs.map(({ compressor }) => compressor),
    [3, 0],
  );
});

t.test('nothing to do leaves nothing', async t => {
  for (const options of [{ 'layers-to-compact': '3' }, { 'compact-blob-size': '0' }]) {
    const folder = t.testdir({});
    const image = await buildStack(hidden, folder);
    const before = filesBelow(folder);
    await run(image, folder, options);
    t.same(filesBelow(folder), before);
  }
});

t.test('a blob that is not what it should be: nothing is named, nothing is lost', async t => {
  for (const damage of ['flip', 'cut', 'gone'] as const) {
    const folder = t.testdir({});
    const image = await buildStack(hidden, folder);
    const blob = path.join(folder, imageAt(image).blobs[0]!.id);
    const bytes = fs.readFileSync(blob);
    if (damage === 'gone') fs.unlinkSync(blob);
    else if (damage === 'cut') fs.writeFileSync(blob, bytes.subarray(0, 3));
    else {
      bytes[2]! ^= 0x55;
      fs.writeFileSync(blob, bytes);
    }
    const before = filesBelow(folder);
    await t.rejects(run(image, folder), damage);
    t.same(filesBelow(folder), before, `${damage}: nothing is left`);
  }
});

t.test('as a process', async t => {
  const folder = t.testdir({});
  const image = await buildStack(hidden, folder);
  const argv = ['compact', '-B', image, '-D', folder];
  hasFailed(t, await cli([...argv, '--backend-type', 's3']), 'a storage', 1, /--backend-config/);
  const many = await cli([...argv, '--min-used-ratio', '256']);
  hasFailed(t, many, 'a ratio over 8 bits', 1, /number too large to fit in target type/);
  const word = await cli([...argv, '--layers-to-compact', 'x']);
  hasFailed(t, word, 'no number', 1, /invalid digit found in string/);
  const ran = await cli(argv);
  t.equal(ran.exit, 0);
  t.equal(ran.stdout.length, 0, 'says nothing on stdout');
  t.ok(fs.existsSync(defaultOutput(image)));
});

t.test('where the result goes', async t => {
  t.equal(defaultOutput('/x/l2.boot'), '/x/l2.bootstrap.compact');
  t.equal(defaultOutput('l2'), 'l2.bootstrap.compact');
});
