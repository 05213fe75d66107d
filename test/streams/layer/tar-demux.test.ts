import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, symlinkSync } from 'node:fs';
import { linkSync, readFileSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { extract } from 'tar-stream';
import { RafsError, contextOf } from '../../../lib/errors.js';
import type { DataPart, EndPart, EntryPart, HolePart } from '../../../lib/model/parts.js';
import type { Entry } from '../../../lib/model/entry.js';
import { tarDemux } from '../../../streams/layer/tar-demux.js';
import type { TarReaderOptions } from '../../../lib/tar/reader.js';
import { collect, cutAt, type CollectOptions } from '../../support/stream/stage.js';
import {
  longName,
  memberOf,
  padded,
  paxRecord,
  setChecksum,
  tarOf,
  type TarEntry,
} from '../../support/tar/tar.js';

type Part = EntryPart | DataPart | HolePart | EndPart;
interface Member extends Entry {
  content: Buffer;
}

/** The members that parts tell of; fails where parts do not come as entry, data, end. */
const membersOf = (parts: readonly Part[]): Member[] => {
  const members: Member[] = [];
  let open: Buffer[] | undefined;
  for (const part of parts) {
    if (part.kind === 'entry') {
      if (open) throw new Error('an entry inside an entry');
      open = [];
      members.push({ ...part.entry, content: Buffer.alloc(0) });
    } else if (!open) {
      throw new Error(`${part.kind} outside an entry`);
    } else if (part.kind === 'data') {
      open.push(part.bytes);
    } else if (part.kind === 'hole') {
      open.push(Buffer.alloc(Math.min(part.size, 0x1000000))); // altered tars may ask for any size
    } else {
      members.at(-1)!.content = Buffer.concat(open);
      open = undefined;
    }
  }
  if (open) throw new Error('an entry has no end');
  return members;
};

const demux = async (
  tar: Buffer,
  cuts: readonly number[] = [],
  options: CollectOptions & TarReaderOptions = {},
): Promise<Member[]> =>
  membersOf(await collect<unknown, Part>(tarDemux(options), cutAt(tar, cuts), options));

const one = async (...entries: TarEntry[]): Promise<Member> => {
  const members = await demux(tarOf(entries));
  if (members.length !== 1) throw new Error(`${members.length} members`);
  return members[0]!;
};

const patched =
  (at: number, text: string | Buffer) =>
  (header: Buffer): void => {
    header.fill(0, at, at + text.length);
    header.write(text.toString('latin1'), at, 'latin1');
  };

t.test('entries with all that a header says', async t => {
  const [file, dir, link, hard] = await demux(
    tarOf([
      { name: './a/b', mode: 0o104755, uid: 1, gid: 2, mtime: 3, content: 'content' },
      { name: '/dir//', type: '5', mode: 0o755 },
      { name: 'link', type: '2', link: '../a//./b/' },
      { name: 'hard', type: '1', link: './a/./b', size: 7 },
    ]),
  );
  const common = { mode: 0o644, uid: 0, gid: 0, mtime: 0, mtimeNsec: 0, size: 0, rdev: 0xffffffff };
  t.strictSame(file, {
    ...common,
    path: 'a/b',
    type: 'file',
    mode: 0o4755,
    uid: 1,
    gid: 2,
    mtime: 3,
    size: 7,
    dataOffset: 512,
    content: Buffer.from('content'),
  });
  const content = Buffer.alloc(0);
  t.strictSame(dir, { ...common, path: 'dir', type: 'directory', mode: 0o755, content });
  t.strictSame(link, { ...common, path: 'link', type: 'symlink', target: '../a//./b/', content });
  t.strictSame(hard, { ...common, path: 'hard', type: 'hardlink', target: 'a/b', content });
});

t.test('the same parts however the tar arrives', async t => {
  const entry = fc.record({
    name: fc.string({ unit: fc.constantFrom('a', 'b', 'é', ' '), minLength: 1, maxLength: 90 }),
    content: fc.uint8Array({ maxLength: 1600 }).map(bytes => Buffer.from(bytes)),
    mtime: fc.nat(),
    pax: fc.constantFrom<TarEntry['pax'][]>(undefined, [['SCHILY.xattr.user.x', '\n\0\xff']]),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { maxLength: 5 }),
      fc.array(fc.nat(20000), { maxLength: 9 }),
      fc.integer({ min: 1, max: 4 }),
      fc.boolean(),
      async (entries, cuts, batch, slow) => {
        const list = entries.map(({ pax, ...rest }) => ({ ...rest, ...(pax && { pax }) }));
        const tar = tarOf(list);
        const members = await demux(tar, cuts, { batch, slow });
        t.strictSame(
          members.map(m => [m.path, m.content.toString('hex'), m.mtime, m.size, m.xattrs?.size]),
          list.map(e => [e.name, e.content.toString('hex'), e.mtime, e.content.length, e.pax && 1]),
        );
        for (const { dataOffset, size, content } of members) {
          t.ok(tar.subarray(dataOffset, dataOffset! + size).equals(content), 'dataOffset');
        }
      },
    ),
    { numRuns: 60 },
  );
});

t.test('a byte at a time', async t => {
  const tar = tarOf([
    longName('l'.repeat(300)),
    { name: 'l', magic: 'gnu', content: 'x'.repeat(513) },
    { name: 'p', pax: [['path', 'p'.repeat(300)]], content: 'y' },
  ]);
  const every = Array.from(tar, (_, i) => i);
  t.strictSame(await demux(tar, every), await demux(tar));
});

t.test('content is passed on, not copied', async t => {
  const tar = tarOf([{ name: 'a', content: Buffer.alloc(100_000, 1) }]);
  const input = cutAt(tar, [50_000]);
  const parts = await collect<unknown, Part>(tarDemux(), input);
  const data = parts.filter(part => part.kind === 'data');
  t.equal(data.length, 2, 'a part for each piece');
  t.ok(data.every(part => input.some(piece => piece.bytes.buffer === part.bytes.buffer)));
});

t.test('offsets are those of the input', async t => {
  const parts = cutAt(tarOf([{ name: 'a', content: 'x' }]), [300]);
  const late = parts.map(part => ({ ...part, offset: part.offset + 2 ** 40 }));
  const [entry] = await collect<unknown, Part>(tarDemux(), late);
  t.match(entry, { entry: { dataOffset: 2 ** 40 + 512 } });
});

t.test('names from every place, the strongest first', async t => {
  const gnu: TarEntry = { name: 'header', magic: 'gnu', content: 'x' };
  const pax: TarEntry = { ...gnu, magic: 'ustar', pax: [['path', 'pax\xff\n']] };
  t.equal((await one(longName('long'), pax)).path, 'long');
  t.equal((await one(pax)).path, 'pax\xff\n');
  t.equal((await one({ ...pax, prefix: 'prefix' })).path, 'pax\xff\n');
  t.equal((await one({ name: 'name', prefix: 'a/b' })).path, 'a/b/name');
  t.equal((await one({ name: 'n'.repeat(100) })).path, 'n'.repeat(100));
  t.equal((await one({ ...gnu, patch: patched(345, '1234567') })).path, 'header');
  t.equal((await one(longName('l'.repeat(70_000)), gnu)).path, 'l'.repeat(70_000));
  t.equal((await one({ ...longName(''), content: 'l\0\0junk' }, gnu)).path, 'l');
  const members = await demux(tarOf([pax, longName('x'), gnu, gnu]));
  t.strictSame(
    members.map(m => m.path),
    ['pax\xff\n', 'x', 'header'],
    'each is for one entry',
  );
});

t.test('link targets from every place', async t => {
  const link: TarEntry = { name: 'l', type: '2', link: 'header' };
  const pax: TarEntry = { ...link, pax: [['linkpath', 'pax//.']] };
  t.equal((await one(longName('long', 'K'), pax)).target, 'long');
  t.equal((await one(pax)).target, 'pax//.');
  t.equal((await one({ ...pax, type: '1' })).target, 'pax');
  t.equal((await one({ ...link, link: 't'.repeat(100) })).target, 't'.repeat(100));
  t.equal((await one(longName('t'.repeat(0xffff), 'K'), link)).target?.length, 0xffff);
});

t.test('owners, sizes and times', async t => {
  const base256 = (value: bigint, size: number): Buffer => {
    const field = Buffer.alloc(size, value < 0n ? 0xff : 0);
    field.writeBigInt64BE(value, size - 8);
    field[0]! |= 0x80;
    return field;
  };
  const pax: TarEntry['pax'] = [
    ['uid', '5000000'],
    ['gid', '4294967295'],
    ['size', '3'],
    ['mtime', '99.5'],
  ];
  const { uid, gid, mtime, size } = await one({
    name: 'a',
    size: 0,
    content: 'abc',
    mtime: 5,
    pax,
  });
  t.strictSame([uid, gid, mtime, size], [5000000, 0xffffffff, 99, 3]);
  const id = await one({ name: 'a', patch: patched(108, base256(3_000_000_000n, 8)) });
  t.equal(id.uid, 3_000_000_000);
  t.equal((await one({ name: 'a', patch: patched(108, 'root\0\0\0\0') })).uid, 0, 'no number');
  for (const [bytes, time] of [
    [base256(-5n, 12), -5],
    [base256(2n ** 35n, 12), 2 ** 35],
    [base256(2n ** 60n, 12), 0],
    [Buffer.from('not a number'), 0],
    [Buffer.alloc(12), 0],
  ] as const) {
    const { mtime } = await one({ name: 'a', patch: patched(136, bytes) });
    t.equal(mtime, time, bytes.toString('hex'));
  }
});

t.test('what is left out or changed is said once', async t => {
  const said: string[] = [];
  const tar = tarOf([
    { name: '../up/x' },
    { name: '../up/x' },
    { name: 'a/../b' },
    { name: 'l', type: '1', link: '/../b' },
    { name: 'm', pax: [['SCHILY.xattr.com.apple.quarantine', '1']] },
    { name: 'n', pax: [['SCHILY.xattr.com.apple.quarantine', '2']] },
  ]);
  const members = await demux(tar, [], { warn: message => said.push(message) });
  t.same(
    members.map(({ path, target }) => target ?? path),
    ['up/x', 'up/x', 'b', 'b', 'm', 'n'],
  );
  t.same(said, [
    '"../up/x" leads out of the layer: taken from its root',
    '"/../b" leads out of the layer: taken from its root',
    'xattr "com.apple.quarantine" is left out: Linux has no such namespace',
  ]);
});

t.test('a directory by its name is one unless it has content', async t => {
  const types = async (entry: Omit<TarEntry, 'name'>) => (await one({ name: 'd/', ...entry })).type;
  t.equal(await types({ type: '0' }), 'directory');
  t.equal(await types({ type: '7' }), 'directory');
  t.equal(await types({ type: '\0', magic: 'v7' }), 'directory');
  t.equal(await types({ type: '0', content: 'x' }), 'file', 'as in containerd');
});

t.test('devices', async t => {
  const members = await demux(
    tarOf([
      { name: 'null', type: '3', device: [1, 3] },
      { name: 'sda', type: '4', device: [8, 0], magic: 'gnu' },
      { name: 'big', type: '3', device: [0x111, 0x12345] },
      { name: 'pipe', type: '6' },
      { name: 'pipe2', type: '6', magic: 'gnu', device: [1, 2] },
    ]),
  );
  t.strictSame(
    members.map(m => [m.type, m.rdev]),
    [
      ['char', 0x103],
      ['block', 0x800],
      ['char', 0x12311145],
      ['fifo', 0],
      ['fifo', 0x102],
    ],
  );
});

t.test('only files have content, whatever size a header has', async t => {
  const types = ['1', '2', '3', '4', '5', '6'];
  const entries = types.map(type => ({ name: `n${type}`, type, size: 5000, link: 't' }));
  const members = await demux(tarOf([...entries, { name: 'file', content: 'x' }]));
  t.equal(members.length, 7);
  t.ok(members.slice(0, 6).every(m => m.size === 0 && m.dataOffset === undefined));
});

t.test('old and contiguous files are files; a slash makes a directory of an old one', async t => {
  const members = await demux(
    tarOf([
      { name: 'old', type: '\0', magic: 'v7', content: 'a' },
      { name: 'slash/', type: '\0', magic: 'v7', content: 'b' },
      { name: 'cont', type: '7', content: 'c' },
    ]),
  );
  t.strictSame(
    members.map(m => [m.path, m.type, m.content.toString()]),
    [
      ['old', 'file', 'a'],
      ['slash', 'directory', ''],
      ['cont', 'file', 'c'],
    ],
  );
});

const globalHeader = (...records: [string, string][]): TarEntry => ({
  name: 'pax_global_header',
  type: 'g',
  content: Buffer.concat(records.map(([key, value]) => paxRecord(key, value))),
});

t.test('global records are defaults, until they are given anew', async t => {
  const members = await demux(
    tarOf([
      globalHeader(['uid', '7'], ['SCHILY.xattr.user.g', 'x'], ['comment', 'c']),
      { name: 'a' },
      {
        name: 'b',
        pax: [
          ['uid', '8'],
          ['SCHILY.xattr.user.l', 'y'],
        ],
      },
      { name: 'c', uid: 9, pax: [['uid', '']] },
      globalHeader(['gid', '5'], ['uid', '6'], ['GNU.sparse.size', '6']),
      { name: 'd' },
      globalHeader(['gid', '']),
      { name: 'e', gid: 3 },
    ]),
  );
  t.strictSame(
    members.map(m => [m.path, m.uid, m.gid, [...(m.xattrs?.keys() ?? [])]]),
    [
      ['a', 7, 0, ['user.g']],
      ['b', 8, 0, ['user.g', 'user.l']],
      ['c', 9, 0, ['user.g']],
      ['d', 6, 5, ['user.g']],
      ['e', 6, 3, ['user.g']],
    ],
  );
});

t.test('a volume label and files about the layer are left out', async t => {
  const members = await demux(
    tarOf([
      { name: 'label', type: 'V', magic: 'gnu' },
      { name: 'stargz.index.json', content: '{}' },
      { name: './.prefetch.landmark', content: '\x0f' },
      { name: '/.no.prefetch.landmark' },
      { name: 'sub/stargz.index.json', content: 'kept' },
      { name: '.prefetch.landmarks', content: 'kept' },
    ]),
  );
  t.strictSame(
    members.map(m => m.path),
    ['sub/stargz.index.json', '.prefetch.landmarks'],
  );
});

t.test('two blocks of zeros are the end, whatever follows, and so is no block', async t => {
  const a = memberOf({ name: 'a', content: 'x' });
  const b = memberOf({ name: 'b', content: 'y' });
  const paths = async (...pieces: Buffer[]) =>
    (await demux(Buffer.concat(pieces), [100, 700])).map(m => m.path).join();
  const zeros = (size: number) => Buffer.alloc(size);
  t.equal(await paths(a, b), 'a,b');
  t.equal(await paths(zeros(512), a, zeros(512), b, zeros(10240)), 'a,b', 'one block is not');
  t.equal(await paths(a, zeros(1024), b, zeros(1024)), 'a');
  t.equal(await paths(a, zeros(1024), Buffer.from('text, not a tar at all')), 'a');
  t.equal(await paths(a, zeros(1024), Buffer.alloc(5000, 'x')), 'a');
  t.equal(await paths(a.subarray(0, 513)), 'a', 'and the padding of the last file may be missing');
  t.equal(await paths(zeros(0)), '', 'an empty layer');
  t.equal(await paths(a, zeros(700)), 'a', 'part of a block of zeros');
  t.equal(await paths(zeros(1024)), '', 'an empty layer');
  t.equal(await paths(zeros(512)), '', 'an empty layer');
});

const fails = async (
  t: Test,
  name: string,
  tar: Buffer,
  code: string,
  place: Record<string, unknown> = {},
): Promise<void> => {
  for (const cuts of [[], [512], [100, 600, 1100]]) {
    await t.rejects(demux(tar, cuts), { code, at: { stage: 'tar-demux', ...place } }, name);
  }
};

t.test('what is no tar', async t => {
  const good = tarOf([{ name: 'dir/a', content: 'x'.repeat(600) }], false);
  const garbage = Buffer.from('garbage!'.repeat(200));
  await fails(t, 'a few zeros', Buffer.alloc(100), 'CORRUPT', { offset: 100 });
  await fails(t, 'a few bytes', garbage.subarray(0, 3), 'CORRUPT', { offset: 3 });
  await fails(t, 'garbage', garbage, 'CORRUPT', { offset: 0 });
  await fails(t, 'behind', Buffer.concat([good, garbage]), 'CORRUPT', { offset: 1536 });
  await fails(t, 'a few behind', Buffer.concat([good, garbage.subarray(0, 9)]), 'CORRUPT');
  await fails(t, 'inside a header', good.subarray(0, 511), 'CORRUPT', { offset: 511 });
  for (const size of [512, 700, 1111]) {
    await fails(t, `cut at ${size}`, good.subarray(0, size), 'CORRUPT', {
      path: 'dir/a',
      offset: size,
    });
  }
  const long = memberOf(longName('x'.repeat(600)));
  await fails(t, 'inside a long name', long.subarray(0, 1000), 'CORRUPT', { offset: 1000 });
  await fails(t, 'only a long name', long, 'CORRUPT', { offset: long.length });
});

t.test('entries that break the format, or do not fit ours', async t => {
  const pax = (key: string, value: string): TarEntry => ({ name: 'n', pax: [[key, value]] });
  const cases: [name: string, entries: TarEntry[], code: string, place?: object][] = [
    ['hardlink to the root', [{ name: 'h', type: '1', link: './' }], 'CORRUPT', { path: 'h' }],
    ['no hardlink target', [{ name: 'h', type: '1' }], 'CORRUPT', { path: 'h' }],
    ['no symlink target', [{ name: 's', type: '2' }], 'CORRUPT', { path: 's' }],
    ['long target', [longName('t'.repeat(0x10000), 'K'), { name: 's', type: '2' }], 'LIMIT'],
    ['root is a file', [{ name: './', content: 'x' }], 'CORRUPT'],
    ['root is a link', [{ name: '.', type: '2', link: 'x' }], 'CORRUPT'],
    ['NUL in a PAX path', [pax('path', 'a\0b')], 'CORRUPT', { offset: 1024 }],
    ['NUL in a PAX target', [{ ...pax('linkpath', 'a\0'), type: '2' }], 'CORRUPT'],
    ['PAX records', [{ name: 'x', type: 'x', content: '9 a=b\n' }, { name: 'n' }], 'CORRUPT'],
    ['global records', [{ name: 'x', type: 'g', content: 'a=b\n' }, { name: 'n' }], 'CORRUPT'],
    ['long PAX records', [pax('comment', 'c'.repeat(0x100000))], 'LIMIT', { offset: 0 }],
    ['long name', [longName('l'.repeat(0x100000)), { name: 'n' }], 'LIMIT', { offset: 0 }],
    ['PAX size', [pax('size', '-1')], 'CORRUPT', { path: 'n' }],
    ['large uid', [pax('uid', '4294967296')], 'LIMIT', { path: 'n' }],
    ['negative uid', [{ name: 'n', patch: h => void h.fill(0xff, 108, 116) }], 'LIMIT'],
    ['negative size', [{ name: 'n', patch: h => void h.fill(0xff, 124, 136) }], 'CORRUPT'],
    ['size', [{ name: 'n', patch: patched(124, 'nonsense') }], 'CORRUPT', { path: 'n' }],
    [
      'over 2^53',
      [{ name: 'n', patch: patched(124, Buffer.from('80ffffffffff', 'hex')) }],
      'CORRUPT',
    ],
    ['mode', [{ name: 'n', patch: patched(100, '0000888\0') }], 'CORRUPT', { path: 'n' }],
    ['device', [{ name: 'n', type: '3', patch: patched(329, 'nonsense') }], 'CORRUPT'],
    ['xattr size', [pax('SCHILY.xattr.user.x', 'v'.repeat(0x10000))], 'LIMIT', { path: 'n' }],
    ['sparse, not GNU', [{ name: 'n', type: 'S' }], 'UNSUPPORTED', { path: 'n' }],
    ['sparse version', [pax('GNU.sparse.major', '2')], 'CORRUPT', { path: 'n' }],
  ];
  for (const type of ['D', 'M', 'N', 'A', 'X', '8', 'z', '\xff']) {
    cases.push([`type ${type}`, [{ name: 'n', type }], 'UNSUPPORTED', { path: 'n', offset: 0 }]);
  }
  for (const [name, entries, code, place] of cases) {
    await fails(t, name, tarOf(entries), code, { ...place });
  }
  const many = Array.from({ length: 3 }, (_, i) =>
    globalHeader([`SCHILY.xattr.user.${i}`, 'v'.repeat(400_000)]),
  );
  await fails(t, 'many global records', tarOf([...many, { name: 'n' }]), 'LIMIT');
});

t.test('sparse files whose map is wrong', async t => {
  const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;
  const gnu = (realSize: number, ...extents: number[]): TarEntry => ({
    name: 's',
    type: 'S',
    magic: 'gnu',
    content: 'abcde',
    patch: h => {
      h.write(extents.map(octal).join(''), 386);
      h.write(octal(realSize), 483);
    },
  });
  const good = await one(gnu(20, 3, 2, 10, 3));
  t.equal(good.content.toString(), '\0\0\0ab\0\0\0\0\0cde\0\0\0\0\0\0\0');
  t.equal(good.dataOffset, undefined);
  await fails(t, 'order', tarOf([gnu(20, 10, 3, 3, 2)]), 'CORRUPT', { path: 's', offset: 0 });
  await fails(t, 'behind the end', tarOf([gnu(12, 3, 2, 10, 3)]), 'CORRUPT');
  await fails(t, 'stored size', tarOf([gnu(20, 3, 1, 10, 3)]), 'CORRUPT');
  await fails(t, 'too large', tarOf([gnu(2 ** 33 - 1, 3, 5)], false).subarray(0, 514), 'CORRUPT');
  await t.rejects(demux(tarOf([gnu(2000, 3, 5)]), [], { sparseLimit: 1999 }), {
    code: 'LIMIT',
    at: { path: 's' },
  });

  const pax = (content: string, ...records: [string, string][]): TarEntry => ({
    name: 'GNUSparseFile.0/s',
    content,
    pax: [['GNU.sparse.name', 'dir/s'], ...records],
  });
  const version1 = (map: string, realSize = '9', content = 'abc'): TarEntry =>
    pax(
      padded(Buffer.from(map)).toString('latin1') + content,
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.realsize', realSize],
    );
  t.match(await one(version1('1\n2\n3\n')), { path: 'dir/s', size: 9 });
  t.equal((await one(version1('0\n', '4', ''))).content.toString(), '\0\0\0\0');
  await fails(t, 'no size', tarOf([pax('abc', ['GNU.sparse.map', '0,3'])]), 'CORRUPT');
  await fails(t, 'size', tarOf([version1('1\n2\n4\n')]), 'CORRUPT', {
    path: 'dir/s',
    offset: 1024,
  });
  await fails(t, 'no map', tarOf([version1('', '9', 'abc')]), 'CORRUPT', { path: 'dir/s' });
  await fails(t, 'map without end', tarOf([version1('7\n2\n3\n', '9', '')]), 'CORRUPT');
  await fails(
    t,
    'version',
    tarOf([pax('abc', ['GNU.sparse.major', '3'], ['GNU.sparse.realsize', '9'])]),
    'UNSUPPORTED',
    { path: 'dir/s' },
  );
});

/** Runs GNU tar; undefined where there is none. */
const gnuTar = (() => {
  try {
    const version = execFileSync('tar', ['--version'], { encoding: 'utf8' });
    if (!version.includes('GNU tar')) return undefined;
  } catch {
    return undefined;
  }
  return (...args: string[]): Buffer =>
    execFileSync('tar', args, { maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'pipe'] });
})();
const noTar = gnuTar ? {} : { skip: 'no GNU tar' };
const FORMATS = ['v7', 'oldgnu', 'gnu', 'ustar', 'posix'];

for (const format of FORMATS) {
  t.test(`what GNU tar makes in format ${format}`, noTar, async t => {
    const root = t.testdir();
    const deep = format === 'v7' ? 'd'.repeat(40) : `${'d'.repeat(60)}/${'e'.repeat(60)}`;
    mkdirSync(join(root, deep), { recursive: true });
    const name = `${deep}/${'f'.repeat(50)}`;
    writeFileSync(join(root, name), 'x'.repeat(3000));
    writeFileSync(join(root, 'umläut \n'), '');
    writeFileSync(join(root, 'first'), 'linked');
    linkSync(join(root, 'first'), join(root, 'hard'));
    const target = format === 'v7' || format === 'ustar' ? 't/../' : `t${'/x'.repeat(200)}`;
    symlinkSync(target, join(root, 'sym'));
    utimesSync(join(root, name), 1_700_000_000.5, 1_700_000_000.5);
    const signed = format !== 'v7' && format !== 'ustar';
    const time = new Date(signed ? -5000 : 1000); // a negative number would be taken for now
    utimesSync(join(root, 'umläut \n'), time, time);
    const tar = gnuTar!('-C', root, `--format=${format}`, '--sort=name', '-cf', '-', '.');
    const members = new Map((await demux(tar, [1000])).map(m => [m.path, m]));
    const umlaut = Buffer.from('umläut \n').toString('latin1');
    t.match(members.get(''), { type: 'directory' });
    t.match(members.get(deep), { type: 'directory' });
    const file = members.get(name);
    t.match(file, { size: 3000, mtime: 1_700_000_000, content: Buffer.alloc(3000, 'x') });
    t.match(members.get('first'), { type: 'file', size: 6, content: Buffer.from('linked') });
    t.match(members.get('hard'), { type: 'hardlink', size: 0, target: 'first' });
    t.match(members.get('sym'), { type: 'symlink', target });
    t.match(members.get(umlaut), { type: 'file', size: 0 });
    t.equal(members.get(umlaut)?.mtime, signed ? -5 : 1);
    t.match(file, { uid: process.getuid?.(), gid: process.getgid?.() });
  });
}

for (const [name, args] of [
  ['oldgnu', ['--format=oldgnu']],
  ['gnu', ['--format=gnu']],
  ['posix 0.0', ['--format=posix', '--sparse-version=0.0']],
  ['posix 0.1', ['--format=posix', '--sparse-version=0.1']],
  ['posix 1.0', ['--format=posix', '--sparse-version=1.0']],
] as const) {
  t.test(`sparse files as GNU tar makes them, ${name}`, noTar, async t => {
    const root = t.testdir();
    const files: [name: string, size: number, runs: number][] = [
      ['few', 300_000, 3],
      ['many', 4_000_000, 150],
      ['hole', 100_000, 0],
      [`long-${'n'.repeat(120)}`, 70_000, 1],
    ];
    for (const [file, size, runs] of files) {
      const fd = openSync(join(root, file), 'w');
      ftruncateSync(fd, size);
      for (let i = 0; i < runs; i++) {
        const at = Math.floor((i * size) / (runs + 1)) + 5000;
        writeSync(fd, Buffer.alloc(1000, 1 + i), 0, 1000, at);
      }
      closeSync(fd);
    }
    const tar = gnuTar!('-C', root, ...args, '-S', '--hole-detection=raw', '-cf', '-', '.');
    t.ok(tar.length < 1_000_000, 'tar has stored them sparse');
    const found = await demux(tar, [500, 5000, 50_000], { slow: true });
    for (const [file, size] of files) {
      const member = found.find(m => m.path === file);
      t.match(member, { type: 'file', size }, file);
      t.ok(member?.content.equals(readFileSync(join(root, file))), `content of ${file}`);
      t.equal(member?.dataOffset, undefined);
    }
  });
}

t.test('xattrs as GNU tar makes them', noTar, async t => {
  const root = t.testdir({ file: 'x' });
  try {
    execFileSync('setfattr', ['-n', 'user.bytes', '-v', '0x000aff3d', join(root, 'file')], {
      stdio: 'pipe',
    });
  } catch {
    t.plan(0, 'no setfattr, or a file system without xattrs');
    return;
  }
  const tar = gnuTar!('-C', root, '--format=posix', '--xattrs', '-cf', '-', 'file');
  const [member] = await demux(tar);
  t.strictSame([...(member?.xattrs ?? [])], [['user.bytes', Buffer.from('000aff3d', 'hex')]]);
});

t.test('tar-stream sees the same', async t => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '-'), minLength: 1, maxLength: 80 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ name, content: fc.string({ maxLength: 900 }), uid: fc.nat(0o7777777) })),
      async list => {
        const tar = tarOf(list.map(e => ({ ...e, content: Buffer.from(e.content) })));
        const theirs: unknown[] = [];
        const reader = extract();
        reader.end(tar);
        for await (const entry of reader) {
          const pieces: Buffer[] = [];
          for await (const piece of entry) pieces.push(piece as Buffer);
          const { name, uid, size } = entry.header;
          theirs.push([name, uid, size, Buffer.concat(pieces).toString()]);
        }
        const ours = (await demux(tar)).map(m => [m.path, m.uid, m.size, m.content.toString()]);
        t.strictSame(ours, theirs);
      },
    ),
    { numRuns: 30 },
  );
});

t.test('altered and cut tars end in members or a RafsError', async t => {
  const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;
  const tars = [
    tarOf([
      {
        name: 'a',
        content: 'x'.repeat(700),
        pax: [
          ['path', 'long/path'],
          ['uid', '5'],
        ],
      },
      { name: 'b', type: '2', link: 'a' },
      longName('l'.repeat(200)),
      { name: 'l', magic: 'gnu', type: '5' },
      { name: 'n', type: '3', device: [1, 2] },
    ]),
    tarOf([
      {
        name: 's',
        type: 'S',
        magic: 'gnu',
        content: 'abcde',
        patch: h => {
          h.write([3, 2, 10, 3].map(octal).join(''), 386);
          h.write(octal(20), 483);
        },
      },
      {
        name: 'p',
        content: `${padded(Buffer.from('1\n2\n3\n')).toString('latin1')}abc`,
        pax: [
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.minor', '0'],
          ['GNU.sparse.realsize', '9'],
        ],
      },
      {
        name: 'q',
        content: 'abc',
        pax: [
          ['GNU.sparse.size', '9'],
          ['GNU.sparse.map', '0,1,5,2'],
        ],
      },
    ]),
  ];
  let failed = 0;
  const tried = async (tar: Buffer): Promise<void> => {
    try {
      await demux(tar, [513], { sparseLimit: 0x100000 });
    } catch (error) {
      failed++;
      if (error instanceof RafsError && contextOf(error).offset !== undefined) return;
      t.fail(`${String(error)} at ${JSON.stringify(contextOf(error))}`);
    }
  };
  for (const tar of tars) {
    for (let size = 0; size < tar.length; size += 37) await tried(tar.subarray(0, size));
  }
  t.ok(failed > 50, 'cuts are seen');
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...tars),
      fc.array(fc.tuple(fc.nat(10000), fc.integer({ min: 1, max: 255 })), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.boolean(),
      async (tar, flips, checked) => {
        const bad = Buffer.from(tar);
        for (const [at, bits] of flips) {
          const place = at % bad.length;
          bad[place]! ^= bits;
          // with a right checksum the change gets past the first check
          if (checked) setChecksum(bad, place - (place % 512));
        }
        await tried(bad);
      },
    ),
    { numRuns: 1500, endOnFailure: true },
  );
  t.ok(failed > 200, 'changes are seen');
});

t.test('the input of a gzip is refused, not guessed', async t => {
  await fails(t, 'gzip', gzipSync(tarOf([{ name: 'a' }])), 'CORRUPT');
});
