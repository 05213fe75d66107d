import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { defaultOutput, run as compact } from '../../../bin/commands/compact.js';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { isCopyable, usageOf } from '../../../lib/image/compact.js';
import { loadImage } from '../../../lib/image/load-image.js';
import type { CommandContext } from '../../../bin/cli/context.js';
import { cli, hasFailed, start, succeed } from '../../support/process/cli.js';
import { recordedIo } from '../../support/process/command-io.js';
import { filesBelow } from '../../support/process/left.js';
import {
  buildStack,
  contentsOf,
  imageAt,
  stacks,
  type Stack,
} from '../../support/images/stacks.js';

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
      explicit: new Set(Object.keys(options)),
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

/** Ids of blobs of which files use fewer percent than that, but for those used to the last chunk. */
const usedBelow = (image: Bootstrap, ratio: number): string[] => {
  const used = image.blobs.map(() => new Map<number, number>()); // sizes by index
  for (const { inode } of walk(image)) {
    if (inode.type !== 'file') continue;
    for (const { blobIndex, index, compressedSize } of image.chunks(inode)) {
      used[blobIndex]!.set(index, compressedSize);
    }
  }
  return image.blobs.flatMap(({ id, compressedSize, chunkCount }, i) => {
    const size = [...used[i]!.values()].reduce((sum, size) => sum + size, 0);
    return used[i]!.size < chunkCount && size * 100 < ratio * compressedSize ? [id] : [];
  });
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
        const below = usedBelow(was, ratio);
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
          t.same(below, [], 'nothing was to be done');
          return;
        }
        compacted++;
        const now = imageAt(out);
        const ids = now.blobs.map(({ id }) => id);
        t.same(await contentsOf(now, folder), contents, 'the files are what they were');
        t.match(JSON.parse(fs.readFileSync(json, 'utf8')), { blobs: ids });
        t.same(
          below.filter(id => ids.includes(id)),
          [],
          'blobs used too little are gone',
        );
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

t.test('nothing to do: the new image is the old one', async t => {
  for (const options of [{ 'layers-to-compact': '3' }, { 'compact-blob-size': '0' }]) {
    const folder = t.testdir({});
    const image = await buildStack(hidden, folder);
    const before = filesBelow(folder);
    const { out, json } = await run(image, folder, options);
    t.same(filesBelow(folder), [...before, 'out.boot', 'out.json'].sort());
    t.ok(fs.readFileSync(out).equals(fs.readFileSync(image)));
    t.same(
      (JSON.parse(fs.readFileSync(json, 'utf8')) as { blobs: string[] }).blobs,
      imageAt(image).blobs.map(({ id }) => id),
    );
  }
});

t.test('rules in a file, which options take precedence over; blobs in a local backend', async t => {
  const folder = t.testdir({ new: {}, none: {} });
  const at = (name: string): string => path.join(folder, name);
  const image = await buildStack(hidden, folder);
  const rules = {
    min_used_ratio: 0,
    compact_blob_size: 10485760,
    max_compact_size: 104857600,
    layers_to_compact: 32,
    blobs_dir: at('new'),
  };
  fs.writeFileSync(at('compact.json'), JSON.stringify(rules));
  const backend = [
    '--backend-type',
    'localfs',
    '--backend-config',
    JSON.stringify({ dir: folder }),
  ];
  const argv = ['compact', '-l', 'warn', '-B', image, '-O', at('out'), ...backend];
  const config = ['--config', at('compact.json')];

  await succeed(t, [...argv, ...config]);
  t.ok(fs.readFileSync(at('out')).equals(fs.readFileSync(image)), '32 layers are not there');
  await succeed(t, [...argv, ...config, '--layers-to-compact', '1']);
  const [blob, ...more] = imageAt(at('out')).blobs;
  t.same(more, [], 'the option counts');
  t.same(filesBelow(at('new')), [blob!.id], 'blobs go where the file says');
  await succeed(t, ['check', '-l', 'warn', '-D', at('new'), at('out')]);
  await succeed(t, [...argv, ...config, '--layers-to-compact', '1', '-D', at('none')]);
  t.same(filesBelow(at('none')), [blob!.id], 'or where the option says');

  for (const [wrong, text] of [
    [{ min_used_ratio: 100 }, /min_used_ratio is not a whole number from 0 to 99/],
    [{ compact_blob_size: '5' }, /compact_blob_size is not a whole number/],
    [{ compact_size: 5 }, /unknown field 'compact_size'/],
    [{ blobs_dir: at('gone') }, /blobs_dir .* is not a directory/],
    [{ layers_to_compact: 1 }, /neither --blob-dir nor blobs_dir/],
    [[], /not an object/],
  ] as const) {
    fs.writeFileSync(at('wrong.json'), JSON.stringify(wrong));
    const ran = await cli([...argv, '--config', at('wrong.json')]);
    hasFailed(t, ran, JSON.stringify(wrong), text.source.includes('neither') ? 2 : 1, text);
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

/** Every layer hides most of the one below. */
const large: Stack = {
  fsVersion: 6,
  layers: [0, 1, 2].map(n => ({
    compressor: 'zstd',
    files: ['a', 'b', 'c', `own${n}`].map((name, i) => ({
      name,
      size: 0x4_0000 - n * 0x1000, // chunks that all differ, and no two blobs alike
      seed: 64 * i,
      deletes: false,
    })),
  })),
};

t.test('killed midway, nothing is lost, and what is there is whole', async t => {
  const folder = t.testdir({});
  const image = await buildStack(large, folder);
  const out = path.join(folder, 'out.boot');
  const given = filesBelow(folder);
  const contents = await contentsOf(imageAt(image), folder);
  const argv = ['compact', '-B', image, '-D', folder, '--min-used-ratio', '90'];
  // there is a file, for the output, before there is a folder
  const isStaged = (): boolean =>
    fs
      .readdirSync(folder, { withFileTypes: true })
      .some(entry => entry.name.startsWith('.rafs') && entry.isDirectory());
  const dropStaged = (): void => {
    for (const name of fs.readdirSync(folder)) {
      if (name.startsWith('.rafs')) fs.rmSync(path.join(folder, name), { recursive: true });
    }
  };
  let killed = 0;
  for (const delay of [0, 0, 5, 10, 20, 40, 80, 160, 320]) {
    const running = start([...argv, '--output-bootstrap', out, '-l', 'error']);
    while (!isStaged() && running.child.exitCode === null) await sleep(1);
    await Promise.race([sleep(delay), running.ended]);
    running.child.kill('SIGKILL');
    if ((await running.ended).signal === 'SIGKILL') killed++;
    for (const name of given) t.ok(fs.existsSync(path.join(folder, name)), `${name} stays`);
    t.same(await contentsOf(imageAt(image), folder), contents, `${delay} ms: what was there`);
    if (fs.existsSync(out)) {
      t.same(await contentsOf(imageAt(out), folder), contents, `${delay} ms: what was made`);
      fs.unlinkSync(out);
    }
    dropStaged();
  }
  t.ok(killed > 0, `${killed} were killed`);
  const stopped = start([...argv, '--output-bootstrap', out, '-l', 'error']);
  const before = filesBelow(folder);
  while (!isStaged() && stopped.child.exitCode === null) await sleep(1);
  stopped.child.kill('SIGTERM');
  hasFailed(t, await stopped.ended, 'one that is stopped', 143);
  t.same(filesBelow(folder), before, 'leaves nothing');
  t.equal((await cli([...argv, '--output-bootstrap', out])).exit, 0, 'once more, to its end');
  const now = imageAt(out);
  t.same(await contentsOf(now, folder), contents);
  const below = usedBelow(imageAt(image), 90);
  t.ok(below.length > 0, `${below.length} blobs are used too little`);
  t.notOk(now.blobs.some(({ id }) => below.includes(id)));
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
