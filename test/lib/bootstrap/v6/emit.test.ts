import { execFile } from 'node:child_process';
import { readFile, readlink, lstat, truncate, writeFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import type { PlanV6 } from '../../../../lib/bootstrap/v6/plan.js';
import { emitV6 } from '../../../../lib/bootstrap/v6/emit.js';
import type { Entry } from '../../../../lib/model/entry.js';
import { chunkRecordsOf, differenceOf } from '../../../support/images/compare-image.js';
import { entryOf } from '../../../support/images/entries.js';
import { walkErofs } from '../../../support/peers/erofs-walker.js';
import {
  imageOf,
  planOf,
  randomEntries,
  walkOrder,
  type ImageCase,
} from '../../../support/images/images.js';
import { modelEmit } from '../../../support/model/model-emit.js';
import { randomBytes } from '../../../support/random.js';

const WINDOW = 0x40000;
const run = promisify(execFile);

/** The image, which has the size that was planned and is what one writer with one buffer makes. */
const emitted = (plan: PlanV6): Buffer => {
  const pieces = [...emitV6(plan)];
  const image = Buffer.concat(pieces);
  if (image.length !== plan.size) throw new Error(`${image.length} bytes, planned ${plan.size}`);
  const big = pieces.findIndex(piece => piece.length > WINDOW + 4096);
  if (big >= 0) throw new Error(`piece ${big} has ${pieces[big]!.length} bytes`);
  const due = modelEmit(plan);
  const at = plan.metaOffset + 4096;
  if (!image.subarray(at).equals(due)) {
    let i = 0;
    while (image[at + i] === due[i]) i++;
    throw new Error(`byte ${at + i} of ${image.length} is ${image[at + i]}, not ${due[i]}`);
  }
  return image;
};

const check = (made: ImageCase): Buffer => {
  const image = emitted(planOf(made));
  const walked = walkErofs(image);
  const wrong = differenceOf(walked, made);
  if (wrong) throw new Error(wrong);
  const records = Array.from({ length: walked.chunkTable.length / 80 }, (_, i) => {
    const record = walked.chunkTable.subarray(80 * i, 80 * i + 80);
    return `${record.toString('hex', 0, 32)} ${record.readUInt32LE(32)} ${record.readUInt32LE(72)}`;
  });
  if (records.join() !== chunkRecordsOf(made).join()) throw new Error('chunk table');
  return image;
};

for (const tarfs of [false, true]) {
  t.test(
    `an independent reader sees the tree, ${tarfs ? 'tarfs' : 'blocks of 4 KiB'}`,
    async () => {
      fc.assert(
        fc.property(
          randomEntries(),
          fc.constantFrom(0x1000, 0x10000, 0x100000),
          fc.integer({ min: 1, max: 4 }),
          fc.infiniteStream(fc.option(fc.nat(20), { nil: undefined })),
          (entries, chunkSize, blobCount, repeats) => {
            check(
              imageOf(entries, {
                chunkSize,
                blobCount,
                tarfs,
                prefetch: ['/', '/a', '/b/c'],
                repeats: () => repeats.next().value as number | undefined,
              }),
            );
          },
        ),
        { numRuns: 150 },
      );
    },
  );
}

t.test('an image of nothing', async t => {
  const image = check(imageOf([]));
  t.equal(image.length, 8192);
  const walked = walkErofs(image);
  t.match(walked, { metaOffset: 0, blocks: 0, inodeCount: 1, devices: [], blobIds: [] });
});

t.test('superblock, devices and prefetch table say what was planned', async t => {
  const made = imageOf(
    [entryOf('file', 'a', { size: 5000 }), entryOf('file', 'b', { size: 9000 })],
    { blobCount: 2, prefetch: ['/b', '/'] },
  );
  const plan = planOf(made);
  const walked = walkErofs(emitted(plan));
  t.equal(walked.flags, BigInt(plan.flags));
  t.equal(walked.metaOffset, plan.metaOffset);
  t.same(walked.prefetchNids, [walked.entries.get('b')!.nid, 128]);
  t.equal(
    walked.blocks,
    made.blobs.reduce((sum, { uncompressedSize }) => sum + Math.floor(uncompressedSize / 4096), 0),
  );
  walked.devices.forEach((device, i) => {
    t.equal(device.blocks, Math.floor(made.blobs[i]!.uncompressedSize / 4096));
    t.equal((device.mappedBlkaddr * 4096) % 0x80000, 0);
    t.ok(device.mappedBlkaddr * 4096 >= plan.size);
  });
});

t.test('a directory of 25,000 names, whose blocks cross windows', async t => {
  const entries = Array.from({ length: 25_000 }, (_, i) =>
    entryOf(i % 10 ? 'file' : 'directory', `big/some-longer-name-${i}`),
  );
  const image = check(imageOf(entries));
  t.ok(image.length > 6 * WINDOW);
  t.ok(walkErofs(image).entries.get('big')!.size > 3 * WINDOW);
});

t.test('files of many chunks, whose lists cross windows', async t => {
  const entries: Entry[] = [];
  [1, 9001, 70_001, 40, 3000].forEach((count, i) => {
    entries.push(entryOf('file', `f${i}`, { size: 4096 * count - 5 }));
    entries.push(entryOf('hardlink', `d/h${i}`, { target: `f${i}`, uid: i }));
    entries.push(entryOf('symlink', `s${i}`, { target: 'x'.repeat(4000 + i) }));
  });
  // most chunks are of one run, some are not
  const image = check(imageOf(entries, { repeats: n => (n % 1000 === 7 ? n % 5 : undefined) }));
  t.ok(walkErofs(image).entries.get('f2')!.chunks!.length * 8 > 2 * WINDOW, 'over two windows');
});

t.test('inodes with xattrs of a quarter of a megabyte', async t => {
  const xattrs = new Map(
    ['a', 'b', 'c'].map((name, i) => [`user.${name}`, randomBytes(65_000 + i, i)]),
  );
  const entries = Array.from({ length: 20 }, (_, i) => {
    const type = (['file', 'directory', 'symlink', 'fifo'] as const)[i % 4]!;
    return entryOf(type, `x${i}`, {
      xattrs,
      size: type === 'file' ? 9000 * i : 0,
      ...(type === 'symlink' ? { target: 'y'.repeat(i) } : {}),
    });
  });
  t.ok(check(imageOf(entries)).length > 3 * WINDOW);
});

t.test('a long and a wide tree', async t => {
  const entries = Array.from({ length: 12_000 }, (_, i) =>
    entryOf('file', `d${i % 70}/e${i % 11}/f${i}`, { size: (i * 7919) % 30_000, uid: i }),
  );
  entries.push(entryOf('directory', Array.from({ length: 300 }, () => 'deep').join('/')));
  const made = imageOf(entries, { repeats: n => (n % 3 === 0 ? n >> 1 : undefined) });
  t.ok(check(made).length > 8 * WINDOW);
});

t.test('a chunk index over 24 bits is LIMIT', async t => {
  const made = imageOf([entryOf('file', 'f', { size: 1 })]);
  made.chunks.index.data[0] = 0xffffff;
  t.throws(() => [...emitV6(planOf(made))], {
    name: 'RafsError',
    code: 'LIMIT',
    message: /16777215/,
  });
  made.chunks.index.data[0] = 0xfffffe;
  made.placed[0]!.index = 0xfffffe;
  check(made);
});

const hasErofs = await run('fsck.erofs', ['-V']).then(
  () => true,
  () => false,
);
const skip = hasErofs ? false : 'erofs-utils is not installed';

/** The blob as a device: its chunks uncompressed, each at its place. */
const writeDevice = async (made: ImageCase, path: string): Promise<void> => {
  const file = await open(path, 'w');
  for (const { uniqueIndex, uncompressedSize, uncompressedOffset } of made.placed) {
    await file.write(
      randomBytes(uncompressedSize, uniqueIndex),
      0,
      uncompressedSize,
      uncompressedOffset,
    );
  }
  await file.close();
  await truncate(path, made.blobs[0]!.uncompressedSize);
};

t.test('fsck.erofs extracts the same tree', { skip }, async t => {
  const dir = t.testdir();
  const entries: Entry[] = [
    entryOf('directory', '', { mode: 0o755 }),
    entryOf('file', 'empty'),
    entryOf('file', 'one', { size: 1 }),
    entryOf('file', 'run', { size: 3_000_000, mtime: 1_700_000_000 }),
    entryOf('file', 'd/e/f', { size: 70_000, mode: 0o600 }),
    entryOf('file', 'd/again', { size: 70_000 }),
    entryOf('hardlink', 'd/link', { target: 'run', mode: 0o640 }),
    entryOf('symlink', 'd/short', { target: '../one' }),
    entryOf('symlink', 'd/long', { target: `/${'x'.repeat(4000)}` }),
    entryOf('file', 'x', { size: 5, xattrs: new Map([['user.a', Buffer.from('value')]]) }),
    ...Array.from({ length: 2000 }, (_, i) => entryOf('file', `many/file-${i}`, { size: i % 500 })),
    entryOf('file', 'many/!first', { size: 3 }),
    entryOf('file', 'many/-second', { size: 4 }),
  ];
  const made = imageOf(entries, { chunkSize: 0x10000 });
  const image = check(made);
  const [boot, blob, out] = ['boot', 'blob', 'out'].map(name => join(dir, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(boot, image);
  await writeDevice(made, blob);
  const { stdout, stderr } = await run('fsck.erofs', [
    `--device=${blob}`,
    '-d3',
    `--extract=${out}`,
    '--no-preserve-owner',
    '--preserve-perms',
    boot,
  ]);
  t.match(stdout + stderr, /successfully|No errors found/);
  for (const [path, node] of walkOrder(made.model.root)) {
    const file = join(out, Buffer.from(path, 'latin1').toString());
    const stat = await lstat(file);
    const { content } = node;
    if (node.type === 'file') {
      const due = content.chunks.map(row => {
        const { uniqueIndex, uncompressedSize } = made.placed[row as number]!;
        return randomBytes(uncompressedSize, uniqueIndex);
      });
      const found = await readFile(file);
      if (!found.equals(Buffer.concat(due))) t.fail(`content of '${path}'`);
    } else if (node.type === 'symlink') t.equal(await readlink(file), content.target);
    else if (!stat.isDirectory()) t.fail(`'${path}' is no directory`);
    if (node.type !== 'symlink' && path !== 'run' && (stat.mode & 0o7777) !== node.mode) {
      t.fail(`mode of '${path}': ${stat.mode.toString(8)}`);
    }
  }
  t.equal((await lstat(join(out, 'run'))).mode & 0o7777, 0o640, 'of the last name');
});

t.test('fsck.erofs and dump.erofs accept images of random layers', { skip }, async t => {
  const dir = t.testdir();
  const samples = fc.sample(
    randomEntries(120).filter(entries => entries.some(({ size }) => size > 0)),
    { numRuns: 25, seed: 1 },
  );
  for (const [i, entries] of samples.entries()) {
    // the tools refuse symlinks over 4095 bytes, special xattr names and times over 2^63
    const made = imageOf(entries.filter(({ target }) => (target?.length ?? 0) < 4096));
    if (made.blobs.length === 0) continue;
    const boot = join(dir, `boot${i}`);
    const blob = join(dir, `blob${i}`);
    await writeFile(boot, check(made));
    await writeDevice(made, blob);
    const { stdout, stderr } = await run('fsck.erofs', [
      `--device=${blob}`,
      '-d3',
      '--extract',
      boot,
    ]);
    t.match(stdout + stderr, /successfully|No errors found/, `layer ${i}`);
    const dump = await run('dump.erofs', ['-s', `--device=${blob}`, boot]);
    t.match(dump.stdout, new RegExp(`inode count: +${planOf(made).inodeCount}\\b`));
  }
});
