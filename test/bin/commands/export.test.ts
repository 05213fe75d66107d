import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { walk } from '../../../lib/bootstrap/walk.js';
import { digest, prepareDigests } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { cli, hasFailed, succeed } from '../../support/process/cli.js';
import { makeFifo, shell, temporaryDirectory } from '../../support/process/fs.js';
import { golden, goldenBlob, goldenPath } from '../../support/images/golden.js';
import { layerTar } from '../../support/tar/layers.js';
import { randomBytes } from '../../support/random.js';
import { tarOf } from '../../support/tar/tar.js';

const QUIET = ['-l', 'error'];
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A folder with the bootstrap of a tar and the tar under its id. */
const tarfs = (t: Test): { directory: string; argv: string[]; due: Buffer } => {
  const directory = temporaryDirectory(t);
  const tar = layerTar('kinds');
  const boot = golden('tarfs.kinds');
  fs.writeFileSync(path.join(directory, sha256(tar)), tar);
  fs.writeFileSync(path.join(directory, 'boot'), boot);
  const gap = Buffer.alloc(0x80000 - boot.length);
  const due = Buffer.concat([boot, gap, tar]);
  const argv = ['export', '--block', '-D', directory, '-B', path.join(directory, 'boot'), ...QUIET];
  return { directory, argv, due };
};

t.test('a file, named or not, a FIFO and standard output get the same bytes', async t => {
  const { directory, argv, due } = tarfs(t);
  const file = path.join(directory, 'out');
  fs.writeFileSync(file, Buffer.alloc(5_000_000, 1)); // longer than the image
  await succeed(t, [...argv, '-O', file]);
  t.ok(fs.readFileSync(file).equals(due), 'in place of an older file');
  await succeed(t, argv);
  t.ok(fs.readFileSync(path.join(directory, 'boot.disk')).equals(due), 'without --output');
  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  const reader = shell('cat "$1"', fifo);
  await succeed(t, [...argv, '-O', fifo]);
  t.ok((await reader).equals(due), 'FIFO');
  const { stdout } = await succeed(t, [...argv, '-O', '-']);
  t.ok(stdout.equals(due), 'standard output');
  t.same(
    fs.readdirSync(directory).sort(),
    ['boot', 'boot.disk', 'fifo', 'out', sha256(layerTar('kinds'))].sort(),
    'and nothing else is left',
  );
});

t.test(
  'with a tree: one line on stdout, the figures as JSON, the same bytes everywhere',
  async t => {
    const { directory, argv, due } = tarfs(t);
    const file = path.join(directory, 'out');
    const json = path.join(directory, 'json');
    const { stdout } = await succeed(t, [...argv, '--verity', '-O', file, '-J', json]);
    // as the snapshotter reads it
    const pattern =
      /^dm-verity options: --no-superblock --format=1 -s "" --hash=sha256 --data-block-size=512 --hash-block-size=4096 --data-blocks (\d+) --hash-offset (\d+) ([0-9a-f]{64})\n$/;
    const [, blocks, offset, root] = pattern.exec(stdout.toString()) ?? [];
    t.equal(Number(blocks), due.length / 512);
    t.equal(Number(offset), Math.ceil(due.length / 4096) * 4096);
    const image = fs.readFileSync(file);
    t.ok(image.subarray(0, due.length).equals(due));
    t.equal(root, sha256(image.subarray(Number(offset), Number(offset) + 4096)), 'of the top page');
    t.match(JSON.parse(fs.readFileSync(json, 'utf8')), {
      image: file,
      size: image.length,
      block_size: 512,
      verity: {
        data_blocks: Number(blocks),
        hash_offset: Number(offset),
        root_hash: root,
        options: stdout.toString().trimEnd(),
      },
    });
    const fifo = path.join(directory, 'fifo');
    makeFifo(fifo);
    const reader = shell('cat "$1"', fifo);
    await succeed(t, [...argv, '--verity', '--threads', '1', '-O', fifo]);
    t.ok((await reader).equals(image), 'FIFO');
    await succeed(t, [...argv, '-O', file, '-J', json]);
    t.notMatch(JSON.parse(fs.readFileSync(json, 'utf8')), { verity: {} }, 'no tree, no figures');
  },
);

t.test('a tar of many reads, whose buffers are used again, to readers of any speed', async t => {
  const directory = temporaryDirectory(t);
  const files = Array.from({ length: 20 }, (_, i) => randomBytes(1_000_003, i));
  const tar = tarOf(files.map((content, i) => ({ name: `f${i}`, content })));
  const source = path.join(directory, 'tar');
  const boot = path.join(directory, 'boot');
  fs.writeFileSync(source, tar);
  await succeed(t, ['create', '-t', 'tar-tarfs', '-D', directory, '-B', boot, source, ...QUIET]);
  fs.linkSync(source, path.join(directory, sha256(tar)));
  const argv = ['export', '--block', '-D', directory, '-B', boot, ...QUIET];
  const file = path.join(directory, 'out');
  const isDue = (image: Buffer): boolean => {
    const at = image.indexOf(tar.subarray(0, 512));
    return at > 0 && image.subarray(at, at + tar.length).equals(tar);
  };
  for (const way of ['plain', '--verity']) {
    const verity = way === 'plain' ? [] : [way];
    await succeed(t, [...argv, ...verity, '-O', file]);
    t.ok(isDue(fs.readFileSync(file)), `a file, ${way}`);
    const fifo = path.join(directory, `fifo${way}`);
    makeFifo(fifo);
    const reader = shell('{ head -c 3000000; sleep 0.2; cat; } <"$1"', fifo);
    await succeed(t, [...argv, ...verity, '-O', fifo]);
    t.ok(isDue(await reader), `a slow reader, ${way}`);
  }
});

t.test('chunks of a Native image', async t => {
  const directory = temporaryDirectory(t);
  const name = 'tar-rafs.kinds.zstd.v6';
  const blob = goldenBlob(name);
  fs.copyFileSync(blob, path.join(directory, path.basename(blob)));
  const disk = path.join(directory, 'disk');
  const argv = ['export', '--block', '-D', directory, '-B', goldenPath(name), ...QUIET];
  const { stdout } = await succeed(t, [...argv, '-O', disk, '--verity']);
  t.match(stdout.toString(), /--data-block-size=4096 /);
  t.same(fs.readdirSync(directory).sort(), [path.basename(blob), 'disk'].sort(), 'no caches');
  t.ok(fs.readFileSync(disk).subarray(0, golden(name).length).equals(golden(name)));
  // a blob with its bootstrap in it
  const inlined = path.join(directory, 'inlined');
  fs.copyFileSync(goldenPath('inline.kinds.zstd', 'blob'), inlined);
  const inline = ['export', '--block', '-D', directory, '-B', inlined, ...QUIET, '-O', disk];
  await succeed(t, inline);
  t.ok(fs.statSync(disk).size > 0x80000);
});

/** Every chunk of the image lies on the disk where its blob is mapped, by its digest; their number. */
const chunksOn = async (t: Test, disk: string, boot: string): Promise<number> => {
  await prepareDigests();
  const bytes = fs.readFileSync(disk);
  const image = fs.readFileSync(boot);
  t.ok(bytes.subarray(0, image.length).equals(image), 'starts with the bootstrap');
  const bootstrap = parseBootstrap(image);
  let count = 0;
  for (const { path, inode } of walk(bootstrap)) {
    if (inode.type !== 'file') continue;
    for (const chunk of bootstrap.chunks(inode)) {
      const { blobIndex, uncompressedOffset, uncompressedSize } = chunk;
      const at = bootstrap.blobs[blobIndex]!.mappedBlkaddr * bootstrap.blockSize;
      const there = bytes.subarray(at + uncompressedOffset).subarray(0, uncompressedSize);
      t.ok(digest('blake3', there).equals(chunk.digest), path);
      count++;
    }
  }
  return count;
};

t.test('several layers, each of another compressor; what is zero takes no room', async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const holes = tarOf([
    // chunks that are nearly zeros, and not one chunk
    ...Array.from({ length: 24 }, (_, i) => ({
      name: `zeros${i}`,
      content: Buffer.concat([Buffer.alloc(1, i + 1), Buffer.alloc(0xfffff)]),
    })),
    { name: 'odd', content: Buffer.concat([Buffer.alloc(0x1234, 1), Buffer.alloc(0x40_0000)]) },
  ]);
  const boots: string[] = [];
  for (const [n, [tar, ...options]] of (
    [
      [layerTar('kinds'), '--compressor', 'none'],
      [layerTar('loose'), '--compressor', 'lz4_block'],
      [layerTar('layer-0'), '--compressor', 'zstd'],
      [layerTar('layer-1'), '--compressor', 'zstd', '--batch-size', '0x20000'],
      [holes, '--compressor', 'zstd'],
    ] as const
  ).entries()) {
    const boot = at(`layer-${n}.boot`);
    const id = String(n).repeat(64);
    const create = ['create', '-t', 'tar-rafs', '-B', boot, '-D', directory, '--blob-id', id];
    await succeed(t, [...create, ...options, ...QUIET, '-'], { stdin: tar });
    boots.push(boot);
  }
  const ids = boots.map((_, n) => String(n).repeat(64)).join();
  await succeed(t, ['merge', '-B', at('boot'), '--original-blob-ids', ids, ...QUIET, ...boots]);
  const argv = ['export', '--block', '-D', directory, '-B', at('boot'), ...QUIET];
  fs.writeFileSync(at('disk'), Buffer.alloc(0x400_0000, 1)); // longer than the image
  await succeed(t, [...argv, '--verity', '-O', at('disk'), '-J', at('json')]);
  const { blobs } = parseBootstrap(fs.readFileSync(at('boot')));
  t.same(blobs.map(({ id }) => id[0]).sort(), ['0', '1', '2', '3', '4']);
  const count = await chunksOn(t, at('disk'), at('boot'));
  t.ok(count > 40, `${count} chunks`);
  const { size, blocks } = fs.statSync(at('disk'));
  t.match(JSON.parse(fs.readFileSync(at('json'), 'utf8')), { size }, 'nothing is left behind it');
  t.ok(blocks * 512 < size - 0x100_0000, `${blocks * 512} bytes of room for ${size}`);
  const { stdout } = await succeed(t, [...argv, '-O', '-']);
  t.ok(stdout.equals(fs.readFileSync(at('disk')).subarray(0, stdout.length)), 'streamed');
});

t.test('several tars, whose zeros take no room', async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const tars = [
    layerTar('layer-0'),
    tarOf([{ name: 'zeros', content: Buffer.alloc(0x100_0000) }]),
    layerTar('layer-2'),
  ];
  const boots: string[] = [];
  for (const [n, tar] of tars.entries()) {
    const id = String(n).repeat(64);
    fs.writeFileSync(at(id), tar);
    const create = ['create', '-t', 'tar-tarfs', '-B', at(`${n}.boot`), '-D', directory];
    await succeed(t, [...create, '--blob-id', id, ...QUIET, at(id)]);
    boots.push(at(`${n}.boot`));
  }
  await succeed(t, ['merge', '-B', at('boot'), ...QUIET, ...boots]);
  const argv = ['export', '--block', '-D', directory, '-B', at('boot'), ...QUIET];
  await succeed(t, [...argv, '-O', at('disk')]);
  const disk = fs.readFileSync(at('disk'));
  const { blobs } = parseBootstrap(fs.readFileSync(at('boot')));
  t.equal(blobs.length, tars.length);
  for (const { id, mappedBlkaddr } of blobs) {
    const tar = tars[Number(id[0])]!;
    const there = disk.subarray(mappedBlkaddr * 512).subarray(0, tar.length);
    t.ok(there.equals(tar), `tar ${id[0]}`);
  }
  const { size, blocks } = fs.statSync(at('disk'));
  t.ok(blocks * 512 < size - 0xf0_0000, `${blocks * 512} bytes of room for ${size}`);
});

t.test('a blob cache entry says where things are, in both generations', async t => {
  const { directory, due } = tarfs(t);
  const disk = path.join(directory, 'disk');
  const file = path.join(directory, 'entry.json');
  const metadata_path = path.join(directory, 'boot');
  const localfs = { dir: directory };
  const entries: object[] = [
    { config_v2: { version: 2, backend: { type: 'localfs', localfs }, metadata_path } },
    { config: { backend_type: 'localfs', backend_config: localfs, metadata_path } },
    {
      config: {
        backend_type: 'localfs',
        backend_config: { blob_file: path.join(directory, sha256(layerTar('kinds'))) },
        metadata_path,
      },
    },
  ];
  for (const entry of entries) {
    fs.writeFileSync(
      file,
      JSON.stringify({ type: 'bootstrap', id: 'a', domain_id: 'b', ...entry }),
    );
    await succeed(t, ['export', '--block', '-C', file, '-O', disk, ...QUIET]);
    t.ok(fs.readFileSync(disk).equals(due));
    fs.unlinkSync(disk);
  }
  const bad = [
    'type = "bootstrap"',
    '{}',
    '{"type":"datablob"}',
    '{"type":"bootstrap","config_v2":{"backend":{"type":"s3"},"metadata_path":"x"}}',
    '{"type":"bootstrap","config_v2":{"backend":{"type":"localfs"},"metadata_path":"x"}}',
    '{"type":"bootstrap","config_v2":{"backend":{"type":"localfs","localfs":{"dir":"x"}}}}',
  ];
  for (const text of bad) {
    fs.writeFileSync(file, text);
    const ran = await cli(['export', '--block', '-C', file, '-O', disk, ...QUIET]);
    hasFailed(t, ran, text, 1, /invalid blob cache entry configuration information/);
  }
  const none = await cli(['export', '--block', '-O', disk]);
  hasFailed(
    t,
    none,
    'neither',
    1,
    /both option `-C\/--config` and `-D\/--localfs-dir` are missing/,
  );
  t.notOk(fs.existsSync(disk));
});

t.test('what goes wrong is one line, and nothing is left', async t => {
  const what = /failed to export RAFS filesystem as raw block device image/;
  const { directory, argv } = tarfs(t);
  const disk = path.join(directory, 'disk');
  const tar = path.join(directory, sha256(layerTar('kinds')));
  const before = fs.readdirSync(directory);
  const fails = async (name: string, text = what): Promise<void> => {
    hasFailed(t, await cli([...argv, '--verity', '-O', disk]), name, 1, text);
    t.same(fs.readdirSync(directory), before, `${name}: nothing is left`);
  };
  fs.writeFileSync(tar, layerTar('kinds').subarray(0, -512));
  await fails('a tar that is too short');
  fs.writeFileSync(tar, '');
  await fails('an empty tar');
  fs.writeFileSync(tar, layerTar('kinds'));
  const boot = golden('tarfs.kinds');
  for (const [name, bytes] of [
    ['no bootstrap', Buffer.from('no image')],
    ['half a bootstrap', boot.subarray(0, 4096)],
    ['a bootstrap of odd size', boot.subarray(0, 20000)],
  ] as const) {
    fs.writeFileSync(path.join(directory, 'boot'), bytes);
    await fails(name);
  }
  fs.writeFileSync(path.join(directory, 'boot'), boot);
  fs.unlinkSync(tar);
  const missing = await cli([...argv, '-O', disk]);
  hasFailed(t, missing, 'no tar', 1, /failed to export .*ENOENT/);
  t.notOk(fs.existsSync(disk));
  const stdout = await cli([...argv, '--verity', '-O', '-']);
  hasFailed(t, stdout, 'two things on one output', 2);
  t.equal(stdout.stdout.length, 0);
  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  const reader = shell('cat "$1"', fifo);
  hasFailed(t, await cli([...argv, '-O', fifo]), 'a FIFO', 1);
  t.notOk((await reader).length > 0x100000, 'whose reader is not left waiting');
});

t.test('thread numbers are checked as nydus-image does', async t => {
  const { argv } = tarfs(t);
  for (const number of ['0', '1025', 'x']) {
    const { exit, stderr } = await cli([...argv, '--threads', number]);
    t.equal(exit, 2);
    t.match(stderr, /invalid thread number/);
  }
});
