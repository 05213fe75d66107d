/**
 * Layers that are referred to and damaged or changed, images without their blobs, and images that
 * lie about sizes: one line on stderr, exit status 1, nothing left behind.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { walk } from '../../lib/bootstrap/walk.js';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { BlobEntry, ExtendedInode } from '../../lib/layout/rafs-v6.js';
import { ChunkRecord } from '../../lib/layout/rafs.js';
import { cli, hasFailed, start, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { golden, goldenBlob, goldenPath } from '../support/images/golden.js';
import { layerPath, layerTar } from '../support/tar/layers.js';
import { filesBelow } from '../support/process/left.js';
import { numbers, randomBytes } from '../support/random.js';
import { memberOf, tarOf } from '../support/tar/tar.js';

const QUIET = ['-l', 'warn'];

/** A folder for what is read and one for what is made, which must be empty after a failure. */
const folders = (t: Test) => {
  const directory = temporaryDirectory(t);
  const out = path.join(directory, 'out');
  fs.mkdirSync(out);
  return { directory, out, at: (name: string): string => path.join(directory, name) };
};

const create = (type: string, out: string, source: string): string[] => [
  ...['create', '-t', type, '-B', `${out}/boot`, '-D', out, '-J', `${out}/json`],
  ...QUIET,
  source,
];

t.test('a gzip that is referred to or expanded, cut anywhere', async t => {
  const tar = layerTar('kinds');
  const members = [tar.subarray(0, 40_000), tar.subarray(40_000)].map(part => gzipSync(part));
  const gzip = Buffer.concat(members);
  const first = members[0]!.length;
  const { out, at } = folders(t);
  const next = numbers(1);
  const cuts = [1, 9, first - 9, first - 4, first + 5, gzip.length - 9, gzip.length - 1];
  while (cuts.length < 12) cuts.push(next(gzip.length));
  for (const [i, cut] of cuts.entries()) {
    fs.writeFileSync(at('layer'), gzip.subarray(0, cut));
    const type = i % 2 ? 'targz-ref' : 'tar-tarfs';
    const text = cut > 10 ? /offset/ : undefined;
    hasFailed(t, await cli(create(type, out, at('layer'))), `${type} cut at ${cut}`, 1, text);
    t.same(filesBelow(out), [], `cut at ${cut}: nothing is left`);
  }
});

t.test('a gzip that is referred to or expanded, damaged anywhere', async t => {
  const gzip = gzipSync(layerTar('kinds'));
  const { out, at } = folders(t);
  const next = numbers(2);
  const places = [0, 2, gzip.length - 1, gzip.length - 5, gzip.length - 8];
  while (places.length < 14) places.push(10 + next(gzip.length - 18));
  for (const [i, place] of places.entries()) {
    const damaged = Buffer.from(gzip);
    damaged[place]! ^= 1 << next(8);
    fs.writeFileSync(at('layer'), damaged);
    const type = i % 2 ? 'targz-ref' : 'tar-tarfs';
    hasFailed(t, await cli(create(type, out, at('layer'))), `${type} damaged at ${place}`, 1);
    t.same(filesBelow(out), [], `damaged at ${place}: nothing is left`);
  }
});

t.test('a tar that is written to while it is mapped', async t => {
  const { out, at } = folders(t);
  fs.writeFileSync(at('tar'), memberOf({ name: 'f', size: 0x1000_0000 }));
  fs.truncateSync(at('tar'), 512 + 0x1000_0000 + 1024);
  const running = start(create('tar-tarfs', out, at('tar')));
  let ended = false;
  void running.ended.then(() => (ended = true));
  // from before it is opened until after it was hashed
  for (let n = 1; !ended; n++) {
    fs.utimesSync(at('tar'), n, n);
    await sleep(3);
  }
  hasFailed(t, await running.ended, 'tarfs', 1, /the tar changed while it was read/);
  t.same(filesBelow(out), []);
});

t.test('a tar that is cut while it is read', async t => {
  const { out, at } = folders(t);
  const pool = randomBytes(0x200000, 1);
  const file = fs.openSync(at('tar'), 'w');
  fs.writeSync(file, memberOf({ name: 'f', size: 0x800_0000 }));
  for (let i = 0; i < 128; i++) fs.writeSync(file, pool, i * 4096, 0x100000);
  fs.closeSync(file);
  for (const type of ['tar-rafs', 'targz-ref']) {
    const running = start(create(type, out, at('tar')));
    const opened = (): boolean => filesBelow(out).length > 0;
    while (!opened() && running.child.exitCode === null) await sleep(1);
    fs.truncateSync(at('tar'), 3_000_000);
    hasFailed(t, await running.ended, type, 1, /unexpected end of the tar/);
    t.same(filesBelow(out), [], `${type}: nothing is left`);
  }
});

t.test('blobs that are not there', async t => {
  const native = folders(t);
  const name = 'tar-rafs.kinds.zstd.v6';
  const zran = folders(t);
  const gz = layerPath('kinds.tar.gz');
  const refer = ['create', '-t', 'targz-ref', '-B', zran.at('boot'), '-D', zran.directory];
  await succeed(t, [...refer, '-l', 'error', gz]);
  const [layer] = parseBootstrap(fs.readFileSync(zran.at('boot'))).blobs;
  const tables = layer!.metaDigest.toString('hex');
  t.ok(fs.existsSync(zran.at(tables)));
  const cases: [what: string, boot: string, of: typeof native][] = [
    ['Native', goldenPath(name), native],
    ['Native v5', goldenPath('tar-rafs.kinds.lz4_block.v5'), native],
    ['Zran without its layer', zran.at('boot'), zran],
    ['Tarfs', goldenPath('tarfs.kinds'), native],
  ];
  const fails = async ([what, boot, { out, directory }]: (typeof cases)[number]) => {
    for (const argv of [
      ['unpack', ...QUIET, '-B', boot, '-D', directory, '--output', `${out}/tar`],
      ['export', '--block', ...QUIET, '-B', boot, '-D', directory, '-O', `${out}/disk`],
      [
        ...['export', '--block', ...QUIET, '-B', boot, '-D', directory, '-O', `${out}/disk`],
        ...['--compressor', 'lz4'],
      ],
    ]) {
      hasFailed(t, await cli(argv), `${what}: ${argv[0]}`, 1, /ENOENT|v6|where it lies/);
      t.same(filesBelow(out), [], `${what}: nothing is left`);
    }
  };
  for (const one of cases) await fails(one);
  fs.copyFileSync(gz, zran.at(layer!.id));
  fs.unlinkSync(zran.at(tables));
  await fails(['Zran without its tables', zran.at('boot'), zran]);

  const { directory, at } = native;
  fs.copyFileSync(goldenPath(name), at('boot'));
  const before = filesBelow(directory);
  const compact = await cli(['compact', ...QUIET, '-B', at('boot'), '-D', directory]);
  // one blob that is used as a whole: there is nothing to do, and no blob is made
  t.equal(compact.exit, 0);
  t.same(filesBelow(directory), [...before, 'boot.bootstrap.compact'].sort());
});

/** Where a bootstrap says how large things are. */
const LIES: readonly [what: string, lie: (image: Buffer) => void, checkOnly?: boolean][] = [
  ['a file of 2 GiB', image => patchFile(image, 0x7fff_ffff, 0)],
  ['a file of 1 EiB', image => patchFile(image, 0, 0x1000_0000)],
  ['a file of a byte', image => patchFile(image, 1, 0)],
  ['a chunk of 16 MiB', image => patchChunk(image, 'uncompressedSize', 0x100_0000)],
  ['a stored chunk of 2 GiB', image => patchChunk(image, 'compressedSize', 0x7fff_ffff)],
  ['a stored chunk of 3 bytes', image => patchChunk(image, 'compressedSize', 3)],
  [
    'a chunk that lies behind the blob',
    image => patchChunk(image, 'compressedOffset', 0x7fff_ffff),
  ],
  ['a table of 4 GiB', image => patchBlob(image, 'ciUncompressedSize', 0xffff_f000)],
  ['a table that lies behind the blob', image => patchBlob(image, 'ciOffset', 0x7fff_f000)],
  ['millions of chunks', image => patchBlob(image, 'chunkCount', 0xff_fff0), true],
];

/** The first file that has chunks: its inode is one of 64 bytes. */
const patchFile = (image: Buffer, low: number, high: number): void => {
  const bootstrap = parseBootstrap(image);
  const file = [...walk(bootstrap)].find(({ inode }) => inode.type === 'file' && inode.size > 4096);
  const size = Buffer.alloc(8);
  size.writeUInt32LE(file!.inode.size, 0);
  const { ino: _ino, ...offsets } = ExtendedInode.offsets;
  for (let at = 0; at + ExtendedInode.size <= image.length; at += 32) {
    const inode = image.subarray(at, at + ExtendedInode.size);
    if (!inode.subarray(offsets.size, offsets.size + 8).equals(size)) continue;
    if (inode.readUInt16LE(offsets.mode) >> 12 !== 8) continue;
    image.writeUInt32LE(low, at + offsets.size);
    image.writeUInt32LE(high, at + offsets.size + 4);
    return;
  }
  throw new Error('there is no such file');
};

const patchBlob = (
  image: Buffer,
  field: 'ciUncompressedSize' | 'ciOffset' | 'chunkCount',
  value: number,
): void => {
  const { offset } = parseBootstrap(image).tables.blob;
  image.writeUInt32LE(value, offset + BlobEntry.offsets[field]);
};

const patchChunk = (
  image: Buffer,
  field: 'uncompressedSize' | 'compressedSize' | 'compressedOffset',
  value: number,
): void => {
  const { offset } = parseBootstrap(image).tables.chunk;
  image.writeUInt32LE(value, offset + ChunkRecord.offsets[field]);
};

t.test('a bootstrap that lies about sizes', async t => {
  const name = 'tar-rafs.kinds.zstd.v6';
  const { directory, out, at } = folders(t);
  const blob = goldenBlob(name);
  fs.copyFileSync(blob, at(path.basename(blob)));
  for (const [what, lie, checkOnly = false] of LIES) {
    const image = golden(name);
    lie(image);
    t.notOk(image.equals(golden(name)), `${what} is a lie`);
    fs.writeFileSync(at('boot'), image);
    const commands = [
      ['check', ...QUIET, '-B', at('boot'), '-D', directory],
      ['unpack', ...QUIET, '-B', at('boot'), '-D', directory, '--output', `${out}/tar`],
      [
        ...['export', '--block', ...QUIET, '-B', at('boot'), '-D', directory],
        ...['-O', `${out}/disk`, '--compressor', 'lz4'],
      ],
    ];
    for (const argv of checkOnly ? commands.slice(0, 1) : commands) {
      const ran = await cli(argv);
      // a table that is not read may say what it wants
      if (argv[0] !== 'check' && ran.exit === 0 && what.includes('table')) continue;
      hasFailed(t, ran, `${what}: ${argv[0]}`, 1);
      t.same(filesBelow(out), [], `${what}: nothing is left`);
    }
    fs.rmSync(out, { recursive: true });
    fs.mkdirSync(out);
  }
});

t.test('layers that do not go together: merge ends with 2, create with 1', async t => {
  const { out, at } = folders(t);
  const build = async (boot: string, ...options: string[]): Promise<string> => {
    const argv = ['create', '-t', 'tar-rafs', '-B', at(boot), '-D', at('blobs'), ...options];
    const tar = tarOf([{ name: 'f', content: randomBytes(9000, 1) }]);
    await succeed(t, [...argv, ...QUIET, '-'], { stdin: tar });
    return at(boot);
  };
  fs.mkdirSync(at('blobs'));
  const plain = await build('plain');
  const sha = await build('sha', '--digester', 'sha256');
  const [v5, v5sha] = [
    await build('v5', '-v', '5'),
    await build('v5sha', '-v', '5', '--digester', 'sha256'),
  ];
  const small = await build('small', '--chunk-size', '0x1000');
  const tarfs = goldenPath('tarfs.kinds');
  const merge = ['merge', ...QUIET, '-B', `${out}/boot`];
  for (const [why, argv] of [
    [/chunk_size: 1048576 vs 4096/, [plain, small]],
    [/RAFS version V6/, [plain, v5]],
    [/RAFS version Ok\(V6\)|RAFS version V5/, [v5, plain]],
    [/TARFS mode/, [plain, tarfs]],
    [/digest algorithm/, [v5, v5sha]],
    [/chunk_size/, ['--chunk-dict', small, plain]],
    [/digest algorithm/, ['--chunk-dict', v5sha, v5]],
    [/chunk_size/, ['--parent-bootstrap', small, plain]],
  ] as const) {
    const ran = await cli([...merge, ...argv]);
    t.equal(ran.exit, 2, `${String(why)}: exit status`);
    t.match(ran.stderr, /^\[[^\n]+\] ERROR message:Inconsistent RAFS Filesystem: [^\n]+\n$/);
    t.match(ran.stderr, why);
    t.same(filesBelow(out), [], 'nothing is left');
  }
  const into = ['create', '-t', 'tar-rafs', '-B', `${out}/boot`, '-D', out, ...QUIET];
  for (const [options, text] of [
    [['--chunk-dict', small], /chunk_size/],
    [['--parent-bootstrap', small], /chunk_size/],
    [['--chunk-dict', v5], /RAFS version/],
    [['-v', '5', '--chunk-dict', v5sha], /digest algorithm/],
    [['-v', '5', '--parent-bootstrap', v5sha], /digest algorithm/],
    [['--chunk-dict', tarfs], /TARFS|chunk_size/],
  ] as const) {
    const ran = await cli([...into, ...options, '-'], { stdin: layerTar('kinds') });
    hasFailed(t, ran, options.join(' '), 1, text);
    t.same(filesBelow(out), [], 'nothing is left');
  }
  // in v6 chunks of another digest are no chunks that are known, and the build has its own
  const tar = tarOf([{ name: 'f', content: randomBytes(9000, 1) }]);
  await succeed(t, [...into, '--chunk-dict', sha, '-'], { stdin: tar });
  const used = parseBootstrap(fs.readFileSync(`${out}/boot`)).blobs.map(({ id }) => id);
  t.same(
    used,
    parseBootstrap(fs.readFileSync(plain)).blobs.map(({ id }) => id),
  );
  t.ok(fs.existsSync(path.join(out, used[0]!)), 'its own blob');
});
