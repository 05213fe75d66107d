import { execFileSync } from 'node:child_process';
import { readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { extract } from 'tar-stream';
import type {
  BytesPart,
  ChunkPart,
  DataPart,
  EndPart,
  EntryPart,
} from '../../../lib/model/parts.js';
import type { Entry, EntryType } from '../../../lib/model/entry.js';
import { tarDemux } from '../../../streams/layer/tar-demux.js';
import { tarMux, type TarMuxOptions } from '../../../streams/read/tar-mux.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { collect, type CollectOptions } from '../../support/stream/stage.js';
import { paxRecord, tarOf, type TarEntry } from '../../support/tar/tar.js';

type Part = EntryPart | DataPart | ChunkPart | EndPart;

const entryOf = (path: string, type: EntryType, some: Partial<Entry> = {}): Entry => ({
  path,
  type,
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: 0,
  mtimeNsec: 0,
  size: 0,
  rdev: 0xffffffff,
  ...some,
});

/** The parts of an entry, with its content in pieces of `pieceSize` bytes. */
const partsOf = (entry: Entry, content = '', pieceSize = 1000): Part[] => {
  const bytes = Buffer.from(content, 'latin1');
  const pieces: Part[] = [];
  for (let at = 0; at < bytes.length; at += pieceSize) {
    pieces.push({ kind: 'data', bytes: bytes.subarray(at, at + pieceSize) });
  }
  return [{ kind: 'entry', entry }, ...pieces, { kind: 'end' }];
};

const file = (path: string, content: string, some: Partial<Entry> = {}): Part[] =>
  partsOf(entryOf(path, 'file', { size: content.length, ...some }), content);

const mux = async (
  parts: readonly Part[],
  options: TarMuxOptions & CollectOptions = {},
): Promise<Buffer> => {
  const made = await collect<Part, BytesPart>(tarMux(options), parts, options);
  let offset = 0;
  for (const part of made) {
    if (part.offset !== offset) throw new Error(`offset ${part.offset} is not ${offset}`);
    offset += part.bytes.length;
  }
  return Buffer.concat(made.map(part => part.bytes));
};

/** What our headers have beside what the builder sets: device numbers and names of owners. */
const header = (entry: TarEntry, user = '', group = ''): TarEntry => ({
  device: [0, 0],
  ...entry,
  patch: bytes => {
    bytes.write(user, 265);
    bytes.write(group, 297);
  },
});

t.test('byte for byte what nydus-image unpacks', async t => {
  const names = {
    user: (uid: number) => (uid === 0 ? 'root' : ''),
    group: (gid: number) => (gid === 5 ? 'tty' : ''),
  };
  const tar = await mux(
    [
      ...partsOf(entryOf('', 'directory', { mode: 0o755 })),
      ...partsOf(entryOf('dir', 'directory', { mode: 0o1777, gid: 5 })),
      ...file('dir/file', 'content', { mode: 0o104755, uid: 1000, mtime: 1_700_000_000 }),
      ...partsOf(entryOf('dir/hard', 'hardlink', { target: 'dir/file', size: 7 })),
      ...partsOf(entryOf('dir/sym', 'symlink', { target: '..//a/./b/', size: 10 })),
      ...partsOf(entryOf('dir/sock', 'socket')),
      ...partsOf(entryOf('null', 'char', { rdev: 0x103 })),
      ...partsOf(entryOf('sda', 'block', { rdev: 0x12311145 })),
      ...partsOf(entryOf('pipe', 'fifo', { rdev: 0 })),
    ],
    { names },
  );
  const expected = tarOf([
    header({ name: 'dir', type: '5', mode: 0o1777, gid: 5 }, 'root', 'tty'),
    header({ name: 'dir/file', mode: 0o4755, uid: 1000, mtime: 1_700_000_000, content: 'content' }),
    header({ name: 'dir/hard', type: '1', link: '/dir/file' }, 'root'),
    header({ name: 'dir/sym', type: '2', link: '..//a/./b/' }, 'root'),
    header({ name: 'null', type: '3', device: [1, 3] }, 'root'),
    header({ name: 'sda', type: '4', device: [0x111, 0x12345] }, 'root'),
    header({ name: 'pipe', type: '6' }, 'root'),
  ]);
  t.ok(tar.equals(expected));
  t.ok((await mux([])).equals(Buffer.alloc(1024)), 'a layer of nothing');
});

t.test('links as they are in the layer, where that is asked for', async t => {
  const tar = await mux(
    [
      ...partsOf(entryOf('hard', 'hardlink', { target: 'dir/file' })),
      ...partsOf(entryOf('sym', 'symlink', { target: './/a/./b/' })),
    ],
    { slashedLinks: false },
  );
  const expected = tarOf([
    header({ name: 'hard', type: '1', link: 'dir/file' }),
    header({ name: 'sym', type: '2', link: './/a/./b/' }),
  ]);
  t.ok(tar.equals(expected));
});

t.test(
  'targets of symlinks stay as they are, short and long; GNU tar makes the same links',
  async t => {
    const directory = temporaryDirectory(t);
    const long = '/x'.repeat(60);
    const targets = [
      '/',
      '//',
      './',
      'a/.',
      '/./a',
      '//a//b',
      '..//../a/',
      `a//b${long}`,
      `.//${long}/`,
    ];
    const parts = targets.flatMap((target, i) => partsOf(entryOf(`s${i}`, 'symlink', { target })));
    writeFileSync(join(directory, 'tar'), await mux(parts));
    execFileSync('tar', ['-C', directory, '-xPf', join(directory, 'tar')]);
    t.same(
      targets.map((_, i) => readlinkSync(join(directory, `s${i}`))),
      targets,
    );
  },
);

t.test('parts of seconds are kept: GNU tar gives files the same times', async t => {
  const directory = temporaryDirectory(t);
  const times: [number, number][] = [
    [1_700_000_000, 123_456_789],
    [1_700_000_000, 500_000_000],
    [5, 1],
    [7, 0],
  ];
  const parts = times.flatMap(([mtime, mtimeNsec], i) => file(`f${i}`, '', { mtime, mtimeNsec }));
  writeFileSync(join(directory, 'tar'), await mux(parts));
  execFileSync('tar', ['-C', directory, '-xf', join(directory, 'tar')]);
  for (const [i, [mtime, mtimeNsec]] of times.entries()) {
    const { mtimeNs } = statSync(join(directory, `f${i}`), { bigint: true });
    t.equal(mtimeNs, BigInt(mtime) * 1_000_000_000n + BigInt(mtimeNsec));
  }
});

t.test('PAX records for long names, long targets and xattrs', async t => {
  const path = `${'d'.repeat(60)}/${'f'.repeat(60)}`;
  const target = `/${'t'.repeat(99)}/x`;
  const xattrs = new Map([
    ['user.b', Buffer.from([0, 0x0a, 0xff])],
    ['security.a', Buffer.alloc(0)],
  ]);
  const tar = await mux(partsOf(entryOf(path, 'symlink', { target, xattrs })));
  const short = path.slice(0, 100);
  const records = Buffer.concat([
    paxRecord('SCHILY.xattr.security.a', ''),
    paxRecord('SCHILY.xattr.user.b', Buffer.from([0, 0x0a, 0xff])),
    paxRecord('linkpath', target),
    paxRecord('path', path),
  ]);
  const name = `${'d'.repeat(60)}/PaxHeaders.0/${'f'.repeat(39)}`.slice(0, 100);
  const expected = tarOf([
    { name, type: 'x', content: records },
    header({ name: short, type: '2', link: target.slice(0, 100) }),
  ]);
  t.ok(tar.equals(expected));

  const plain = await mux(file('file', '', { xattrs: new Map([['user.x', Buffer.from('y')]]) }));
  const own = {
    name: 'PaxHeaders.0/file',
    type: 'x',
    content: paxRecord('SCHILY.xattr.user.x', 'y'),
  };
  t.ok(plain.equals(tarOf([own, header({ name: 'file' })])));
  const exact = await mux(file('n'.repeat(100), ''));
  t.ok(exact.equals(tarOf([header({ name: 'n'.repeat(100) })])), '100 bytes need no record');
});

t.test('names are cut between characters', async t => {
  const nameOf = async (path: string): Promise<string> => {
    const tar = await mux(file(path, ''));
    const at = tar.length - 1024 - 512;
    return tar.toString('latin1', at, at + 100).replace(/\0+$/, '');
  };
  const utf8 = (text: string) => Buffer.from(text).toString('latin1');
  t.equal(await nameOf(utf8(`${'a'.repeat(99)}éb`)), 'a'.repeat(99));
  t.equal(await nameOf(utf8(`${'a'.repeat(98)}éb`)), utf8(`${'a'.repeat(98)}é`));
  t.equal(await nameOf(utf8(`${'a'.repeat(97)}\u{1f600}`)), 'a'.repeat(97));
  t.equal(await nameOf(`abc\xff${'a'.repeat(100)}`), 'abc', 'no UTF-8 from there on');
  t.equal(await nameOf('\xff'.repeat(101)), '\xff'.repeat(100), 'no UTF-8 at all');
  t.equal(await nameOf(`${'a'.repeat(97)}/..b`), 'a'.repeat(97), 'no .. by cutting');
});

t.test('large numbers', async t => {
  const parts = partsOf(
    entryOf('f', 'directory', { uid: 0xffffffff, gid: 2 ** 21 - 1, mtime: 2 ** 33 }),
  );
  const tar = await mux(parts);
  t.equal(tar.subarray(108, 116).toString('hex'), '80000000ffffffff');
  t.equal(tar.subarray(116, 124).toString(), '7777777\0');
  t.equal(tar.subarray(136, 148).toString('hex'), '800000000000000200000000');
});

t.test('content comes as data or as chunks, in whatever pieces', async t => {
  const whole = await mux(file('a', 'x'.repeat(1500)));
  const chunk = (fileOffset: number, size: number): Part => ({
    kind: 'chunk',
    chunk: { fileOffset, uncompressedSize: size },
    bytes: Buffer.alloc(size, 'x'),
  });
  const [entry, , , end] = file('a', 'x'.repeat(1500)) as [Part, Part, Part, Part];
  const chunks = await mux([entry, chunk(0, 1024), chunk(1024, 476), end], { slow: true });
  t.ok(chunks.equals(whole));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 1600 }), fc.boolean(), async (size, slow) => {
      const made = partsOf(entryOf('a', 'file', { size: 1500 }), 'x'.repeat(1500), size);
      t.ok((await mux(made, { slow, batch: 3 })).equals(whole));
    }),
    { numRuns: 20 },
  );
  await t.rejects(mux([entry, chunk(1024, 476), end]), {
    code: 'MISMATCH',
    message: /expected the chunk at 0, got the one at 1024/,
    at: { stage: 'tar-mux', path: 'a' },
  });
});

t.test('content of another size than the entry says', async t => {
  const wrong = (size: number, content: string, type: EntryType = 'file') =>
    mux([...file('before', 'x'), ...partsOf(entryOf('dir/a', type, { size }), content)]);
  const at = { stage: 'tar-mux', path: 'dir/a' };
  await t.rejects(wrong(5, 'four'), {
    code: 'MISMATCH',
    message: /expected 5 bytes .*, got 4/,
    at,
  });
  await t.rejects(wrong(5, ''), { code: 'MISMATCH', message: /expected 5 bytes .*, got 0/, at });
  await t.rejects(wrong(3, 'four'), {
    code: 'MISMATCH',
    message: /expected 3 bytes .*, got 4/,
    at,
  });
  await t.rejects(wrong(1, 'x', 'directory'), { code: 'MISMATCH', at });
});

t.test('entries that no reader should be given', async t => {
  for (const path of ['../a', 'a/../b', '/a', 'a//b', './a', 'a/', 'a\0b']) {
    await t.rejects(mux(file(path, '')), { code: 'CORRUPT', at: { path } }, JSON.stringify(path));
  }
  await t.rejects(mux(file('', '')), { code: 'CORRUPT' }, 'a root that is a file');
  for (const type of ['symlink', 'hardlink'] as const) {
    await t.rejects(mux(partsOf(entryOf('l', type))), { code: 'CORRUPT' });
    await t.rejects(mux(partsOf(entryOf('l', type, { target: 'a\0b' }))), { code: 'CORRUPT' });
  }
});

t.test('names of owners that do not fit are left out', async t => {
  const names = { user: () => 'u'.repeat(32), group: () => 'g'.repeat(33) };
  const tar = await mux(file('a', ''), { names });
  t.equal(tar.toString('latin1', 265, 297), 'u'.repeat(32));
  t.equal(tar.toString('latin1', 297, 329), '\0'.repeat(32));
});

const someEntries = fc
  .uniqueArray(
    fc.string({ unit: fc.constantFrom('a', 'b', 'é', '\xff', '/'), minLength: 1, maxLength: 150 }),
    { maxLength: 6 },
  )
  .map(paths => [...new Set(paths.map(path => path.split('/').filter(Boolean).join('/')))])
  .map(paths => paths.filter(path => path !== ''))
  .chain(paths =>
    fc.tuple(
      ...paths.map(path =>
        fc.record({
          path: fc.constant(path),
          type: fc.constantFrom<EntryType>('file', 'directory', 'symlink', 'fifo', 'char'),
          mode: fc.nat(0o7777),
          uid: fc.nat(0xffffffff),
          gid: fc.nat(0xffffffff),
          mtime: fc.nat({ max: 2 ** 40 }),
          content: fc.string({ unit: fc.constantFrom('x', '\0', '\xff'), maxLength: 1300 }),
          value: fc.option(fc.uint8Array({ maxLength: 50 })),
        }),
      ),
    ),
  );

t.test('tar-demux reads what was written', async t => {
  await fc.assert(
    fc.asyncProperty(someEntries, async list => {
      const entries = list.map(({ content, value, type, path, ...rest }) =>
        entryOf(path, type, {
          ...rest,
          size: type === 'file' ? content.length : 0,
          rdev: type === 'char' ? 0x12311145 : type === 'fifo' ? 0 : 0xffffffff,
          ...(type === 'symlink' && { target: `t${content}`.replaceAll('\0', '/') }),
          ...(value && { xattrs: new Map([['user.x', Buffer.from(value)]]) }),
        }),
      );
      const parts = entries.flatMap((entry, i) =>
        partsOf(entry, entry.type === 'file' ? list[i]!.content : ''),
      );
      const tar = await mux(parts);
      const input: BytesPart[] = [{ kind: 'bytes', offset: 0, bytes: tar }];
      const read = await collect<unknown, Part>(tarDemux(), input);
      const found = read.flatMap(part => (part.kind === 'entry' ? [part.entry] : []));
      for (const entry of found) delete entry.dataOffset;
      t.strictSame(found, entries);
      const data = read.flatMap(part => (part.kind === 'data' ? [part.bytes] : []));
      const contents = list.map(e => (e.type === 'file' ? e.content : '')).join('');
      t.equal(Buffer.concat(data).toString('latin1'), contents);
    }),
    { numRuns: 60 },
  );
});

const noTar = (() => {
  try {
    const version = execFileSync('tar', ['--version'], { encoding: 'utf8' });
    return version.includes('GNU tar') ? {} : { skip: 'no GNU tar' };
  } catch {
    return { skip: 'no GNU tar' };
  }
})();

t.test('GNU tar lists and reads it', noTar, async t => {
  const long = `${'d'.repeat(90)}/${'é'.repeat(40)}`;
  const tar = await mux([
    ...partsOf(entryOf('d'.repeat(90), 'directory', { mode: 0o755 })),
    ...file(Buffer.from(long).toString('latin1'), 'content', { uid: 5_000_000, gid: 7 }),
    ...partsOf(entryOf('hard', 'hardlink', { target: Buffer.from(long).toString('latin1') })),
    ...partsOf(entryOf('sym', 'symlink', { target: 't/'.repeat(80) })),
    ...partsOf(entryOf('null', 'char', { rdev: 0x103, mode: 0o666 })),
    ...partsOf(entryOf('pipe', 'fifo', { rdev: 0, mtime: 1_700_000_000 })),
  ]);
  const path = join(t.testdir(), 'made.tar');
  writeFileSync(path, tar);
  const run = (...args: string[]) =>
    execFileSync('tar', args, {
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
    });
  const lines = run('--quoting-style=literal', '--numeric-owner', '-tvPf', path).split('\n');
  t.match(lines[0], /^drwxr-xr-x 0\/0 +0 1970-01-01 00:00 d{90}\/?$/);
  t.match(lines[1], /^-rw-r--r-- 5000000\/7 +7 1970-01-01 00:00 d{90}\//);
  t.ok(lines[1]?.endsWith(long));
  t.ok(lines[2]?.startsWith('hrw-r--r--') && lines[2].endsWith(`hard link to /${long}`));
  t.ok(lines[3]?.endsWith(`sym -> ${'t/'.repeat(80)}`));
  t.match(lines[4], /^crw-rw-rw- 0\/0 +1,3 1970-01-01 00:00 null$/);
  t.match(lines[5], /^prw-r--r-- 0\/0 +0 2023-11-14 22:13 pipe$/);
  t.equal(run('-xOf', path, long), 'content');
});

t.test('tar-stream reads it', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.stringMatching(/^[a-z]{1,150}$/), fc.nat(2000)), { maxLength: 5 }),
      async list => {
        const tar = await mux(list.flatMap(([name, size]) => file(name, 'x'.repeat(size))));
        const found: [string, number][] = [];
        const reader = extract();
        reader.end(tar);
        for await (const entry of reader) {
          let size = 0;
          for await (const piece of entry) size += (piece as Buffer).length;
          found.push([entry.header.name, size]);
        }
        t.strictSame(found, list);
      },
    ),
    { numRuns: 30 },
  );
});
