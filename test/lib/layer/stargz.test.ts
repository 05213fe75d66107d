import fs from 'node:fs';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import { readStargzToc, type StargzOptions } from '../../../lib/layer/stargz.js';
import { altered } from '../../support/images/golden.js';
import { layerPath } from '../../support/tar/layers.js';

const OPTIONS: StargzOptions = { chunkSize: 0x10000, blobSize: 1_000_000, explicitUidGid: true };
const digestOf = (n: number): string => `sha256:${String(n).padStart(64, '0')}`;

const reg = (name: string, size: number, offset: number, more: object = {}) => ({
  name,
  type: 'reg',
  size,
  offset,
  digest: digestOf(offset),
  chunkDigest: digestOf(offset),
  ...more,
});

const read = (entries: readonly object[], options: Partial<StargzOptions> = {}) =>
  readStargzToc(Buffer.from(JSON.stringify({ version: 1, entries })), { ...OPTIONS, ...options });

t.test('entries of all types', t => {
  const { files, warnings } = read([
    { name: './', type: 'dir', mode: 0o755 },
    { name: 'a/', type: 'dir', mode: 0o42755, uid: 5, gid: 6, modtime: '2023-11-14T22:13:20Z' },
    reg('a/f', 10, 100, { mode: 0o104755, xattrs: { 'user.x': 'AQL/' } }),
    reg('/a/é', 0, 0),
    { name: 'a/l', type: 'symlink', linkName: '../x/./y' },
    { name: 'a/h', type: 'hardlink', linkName: './a/f' },
    { name: 'dev/null', type: 'char', devMajor: 1, devMinor: 3 },
    { name: 'pipe', type: 'fifo' },
    reg('.prefetch.landmark', 1, 50),
    reg('stargz.index.json', 1000, 900),
  ]);
  t.same(
    files.map(({ entry }) => [entry.type, entry.path, entry.mode, entry.size, entry.target]),
    [
      ['directory', '', 0o755, 0, undefined],
      ['directory', 'a', 0o2755, 0, undefined],
      ['file', 'a/f', 0o4755, 10, undefined],
      ['file', 'a/\xc3\xa9', 0, 0, undefined],
      ['symlink', 'a/l', 0, 0, '../x/./y'],
      ['hardlink', 'a/h', 0, 0, 'a/f'],
    ],
  );
  t.match(files[1]!.entry, { uid: 5, gid: 6, mtime: 0, rdev: 0xffffffff });
  t.same(files[2]!.entry.xattrs, new Map([['user.x', Buffer.from([1, 2, 255])]]));
  t.equal(warnings.length, 2);
  t.match(warnings[0], '/dev/null');
  t.match(read([{ name: 'x', type: 'dir', uid: 5 }], { explicitUidGid: false }).files[0]!.entry, {
    uid: 0,
    gid: 0,
  });
  t.end();
});

t.test('chunks of a large file, and the sizes of members', t => {
  const part = (offset: number, chunkOffset: number, chunkSize = 0x10000) => ({
    ...reg('big', 0, offset),
    type: 'chunk',
    chunkOffset,
    chunkSize,
  });
  const { files, chunks } = read([
    reg('small', 100, 10),
    reg('big', 0x28000, 1000, { chunkSize: 0x10000 }),
    part(70_000, 0x10000),
    part(140_000, 0x20000, 0),
    reg('again', 100, 150_000, { chunkDigest: digestOf(10) }),
  ]);
  t.same(
    chunks.map(c => [c.fileOffset, c.uncompressedSize, c.compressedOffset, c.compressedSize]),
    [
      [0, 100, 10, 251],
      [0, 0x10000, 1000, 0x10000 + 151 + 20],
      [0x10000, 0x10000, 70_000, 0x10000 + 151 + 20],
      [0x20000, 0x8000, 140_000, 10_000],
      [0, 100, 150_000, 251],
    ],
  );
  t.same(
    files.map(({ chunks }) => chunks.length),
    [1, 3, 1],
  );
  t.equal(chunks[4]!.repeated, chunks[0]);
  t.equal(chunks[3]!.repeated, undefined);
  t.equal(chunks[0]!.digest.toString('hex'), digestOf(10).slice(7));
  t.end();
});

t.test('what is no table, or no table of such an image', t => {
  const big = { chunkSize: 0x10000 };
  const bad: [what: string, code: string, entries: object[]][] = [
    ['no name', 'CORRUPT', [{ type: 'dir' }]],
    ['a type of its own', 'CORRUPT', [{ name: 'x', type: 'door' }]],
    ['no target', 'CORRUPT', [{ name: 'x', type: 'symlink' }]],
    ['the root is a file', 'CORRUPT', [reg('./', 1, 0)]],
    ['no digest', 'CORRUPT', [{ name: 'x', type: 'reg', size: 1 }]],
    ['another digest', 'CORRUPT', [reg('x', 1, 0, { chunkDigest: 'md5:00' })]],
    ['a size that is text', 'CORRUPT', [reg('x', 1, 0, { size: '1' })]],
    ['a size below 0', 'CORRUPT', [reg('x', -1, 0)]],
    ['an owner over 32 bits', 'CORRUPT', [{ name: 'x', type: 'dir', uid: 2 ** 32 }]],
    ['xattrs that are not base64', 'CORRUPT', [{ name: 'x', type: 'dir', xattrs: { a: '-' } }]],
    ['xattrs that are text', 'CORRUPT', [{ name: 'x', type: 'dir', xattrs: 'a' }]],
    ['null', 'CORRUPT', [null as unknown as object]],
    ['offsets that go back', 'CORRUPT', [reg('x', 1, 9), reg('y', 1, 9)]],
    ['behind the layer', 'CORRUPT', [reg('x', 1, 1_000_000)]],
    ['a chunk of no file', 'CORRUPT', [reg('x', 1, 0, { type: 'chunk', chunkOffset: 0x10000 })]],
    ['a missing chunk', 'CORRUPT', [reg('x', 0x20000, 0, big)]],
    ['a chunk at 0', 'CORRUPT', [reg('x', 0x20000, 0, big), reg('x', 0, 5, { type: 'chunk' })]],
    ['other chunks', 'UNSUPPORTED', [reg('x', 0x20000, 0, { chunkSize: 0x8000 })]],
    ['a file in one large chunk', 'UNSUPPORTED', [reg('x', 0x20000, 0)]],
    ['members with more than one', 'UNSUPPORTED', [reg('x', 1, 0, { innerOffset: 5 })]],
    ['a long target', 'LIMIT', [{ name: 'x', type: 'symlink', linkName: 'y'.repeat(0x10000) }]],
  ];
  for (const [what, code, entries] of bad) {
    t.throws(() => read(entries), { name: 'RafsError', code }, what);
  }
  for (const text of ['', '{', '[]', 'null', '{"version":1}', '{"version":1,"entries":[]}']) {
    t.throws(() => readStargzToc(Buffer.from(text), OPTIONS), { name: 'RafsError' }, text);
  }
  const second = Buffer.from('{"version":2,"entries":[{}]}');
  t.throws(() => readStargzToc(second, OPTIONS), { code: 'UNSUPPORTED', message: /version 2/ });
  t.throws(() => readStargzToc(Buffer.from([0x22, 0xff, 0x22]), OPTIONS), { code: 'CORRUPT' });
  t.end();
});

t.test('an altered table is read or refused', t => {
  const toc = fs.readFileSync(layerPath('stargz.index.json'));
  const options = { ...OPTIONS, chunkSize: 0x400000, blobSize: 0xe916e };
  t.equal(readStargzToc(toc, options).chunks.length, 60);
  let refused = 0;
  for (const wrong of altered(toc, 400)) {
    try {
      readStargzToc(wrong, options);
    } catch (error) {
      if (!(error instanceof RafsError)) throw error;
      t.notMatch(error.message, /\n/);
      refused++;
    }
  }
  t.ok(refused > 100, `${refused} are refused`);
  t.end();
});
