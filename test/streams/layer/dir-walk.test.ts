import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { extract as extractTar } from 'tar-stream';
import { parseAttributes } from '../../../lib/layer/attributes.js';
import type { ExternalPart } from '../../../lib/model/parts.js';
import type { Entry } from '../../../lib/model/entry.js';
import { dirWalk, type DirWalkOptions, type WalkPart } from '../../../streams/layer/dir-walk.js';
import {
  closed,
  isRoot,
  withoutXattrs,
  makeFifo,
  openBelow,
  temporaryDirectory,
} from '../../support/process/fs.js';

interface Object_ {
  entry: Entry;
  content: Buffer;
}

/** All objects of a walk; the parts must come as entry, data, end. */
const walk = async (root: string, options: DirWalkOptions = {}, slow = false) => {
  const found: Object_[] = [];
  let open: { entry: Entry; pieces: Buffer[] } | undefined;
  for await (const batch of dirWalk(root, options) as AsyncIterable<WalkPart[]>) {
    for (const part of batch) {
      if (part.kind === 'entry') {
        if (open) throw new Error(`${open.entry.path} has no end`);
        open = { entry: part.entry, pieces: [] };
      } else if (part.kind === 'external') throw new Error('an external file');
      else if (!open) throw new Error(`${part.kind} without an entry`);
      else if (part.kind === 'data') open.pieces.push(part.bytes);
      else {
        const content = Buffer.concat(open.pieces);
        if (content.length !== open.entry.size) throw new Error(`${open.entry.path}: wrong size`);
        found.push({ entry: open.entry, content });
        open = undefined;
      }
    }
    if (slow) await sleep(1);
  }
  if (open) throw new Error(`${open.entry.path} has no end`);
  return found;
};

const paths = (found: Object_[]): string[] => found.map(({ entry }) => entry.path);
const by = (found: Object_[], name: string): Entry =>
  found.find(({ entry }) => entry.path === name)!.entry;

/** Makes files from their paths: with a trailing slash a directory, else its content. */
const tree = (t: Test, files: Record<string, string | Buffer>): string => {
  const root = temporaryDirectory(t);
  for (const [name, content] of Object.entries(files)) {
    const at = Buffer.from(`${root}/${name}`, 'latin1');
    const parent = at.subarray(0, at.lastIndexOf('/', -2));
    fs.mkdirSync(name.endsWith('/') ? at : parent, { recursive: true });
    if (!name.endsWith('/')) fs.writeFileSync(at, content);
  }
  return root;
};

t.test('layout order: children by name as bytes, then each child directory', async t => {
  const root = tree(t, {
    'b/z': '1',
    'b/a/deep': '2',
    'b/c/': '',
    'a/x': '3',
    'a.txt': '4',
    'a-b': '5',
    '\xff': '6',
    '\xc3\xa9': '7',
    'B/q': '8',
  });
  const due = [
    ...['', 'B', 'a', 'a-b', 'a.txt', 'b', '\xc3\xa9', '\xff'],
    ...['B/q', 'a/x', 'b/a', 'b/c', 'b/z', 'b/a/deep'],
  ];
  t.same(paths(await walk(root)), due);
  t.same(paths(await walk(`${root}/`)), due, 'with a slash behind');
  const link = path.join(temporaryDirectory(t), 'link');
  fs.symlinkSync(root, link);
  t.same(paths(await walk(link)), due, 'by a symlink');
});

t.test('attributes', async t => {
  const root = tree(t, { file: 'content', 'dir/': '', suid: '' });
  fs.chmodSync(`${root}/suid`, 0o6751);
  fs.chmodSync(`${root}/dir`, 0o1777);
  fs.symlinkSync('../no\u00e9where', `${root}/link`);
  makeFifo(`${root}/fifo`);
  const server = net.createServer().listen(`${root}/socket`);
  await new Promise(resolve => server.once('listening', resolve));
  t.teardown(() => server.close());
  execFileSync('touch', ['-h', '-d', '@1234567890.987654321', `${root}/file`, `${root}/link`]);
  execFileSync('touch', ['-d', '@-1.25', `${root}/dir`]);

  const found = await walk(root);
  t.same(Object.fromEntries(found.map(({ entry }) => [entry.path, entry.type])), {
    '': 'directory',
    dir: 'directory',
    fifo: 'fifo',
    file: 'file',
    link: 'symlink',
    socket: 'socket',
    suid: 'file',
  });
  const file = by(found, 'file');
  t.match(file, { size: 7, mtime: 1234567890, mtimeNsec: 987654321, rdev: 0 });
  t.equal(found.find(({ entry }) => entry === file)!.content.toString(), 'content');
  t.match(by(found, 'link'), {
    target: '../no\xc3\xa9where',
    size: 0,
    mtime: 1234567890,
    mtimeNsec: 987654321,
  });
  t.match(by(found, 'dir'), { mode: 0o1777, size: 0, mtime: -2, mtimeNsec: 750000000 });
  t.equal(by(found, 'suid').mode, 0o6751);
  t.match(by(found, ''), { mtime: 0, mtimeNsec: 0, mode: 0o700 });
  t.match(by(found, 'fifo'), { size: 0 });
});

t.test('owners and devices', { skip: !isRoot && 'needs root' }, async t => {
  const root = tree(t, { file: '' });
  fs.chownSync(`${root}/file`, 70000, 80000);
  execFileSync('mknod', [`${root}/char`, 'c', '259', '70000']);
  execFileSync('mknod', [`${root}/block`, 'b', '8', '1']);
  const found = await walk(root);
  t.match(by(found, 'file'), { uid: 70000, gid: 80000 });
  // Linux' 32-bit dev_t: low 8 bits of the minor, 12 bits of the major, the rest of the minor
  t.match(by(found, 'char'), { type: 'char', rdev: (70000 & 0xff) | (259 << 8) | (0x111 << 20) });
  t.match(by(found, 'block'), { type: 'block', rdev: 0x801 });
  t.match(by(await walk(root, { explicitUidGid: false }), 'file'), { uid: 0, gid: 0 });
});

t.test('content, small and large, read ahead or not, fast or slow reader', async t => {
  const files: Record<string, Buffer> = {};
  for (const size of [0, 1, 0x1ffff, 0x20000, 0x20001, 0x80000, 0x80001, 3_000_000]) {
    files[`f${size}`] = randomBytes(size);
  }
  for (let i = 0; i < 300; i++) files[`many/${i}`] = randomBytes(i * 7);
  const root = tree(t, files);
  for (const options of [{}, { readAhead: true }, { readAhead: false }]) {
    for (const slow of [false, true]) {
      const found = await walk(root, options, slow);
      t.equal(found.length, Object.keys(files).length + 2);
      const same = found.filter(({ entry, content }) => files[entry.path]?.equals(content));
      t.equal(same.length, Object.keys(files).length);
      t.same(openBelow(root), []);
    }
  }
});

t.test('a second name of a file is a hardlink to the first that comes', async t => {
  const root = tree(t, { 'a/first': 'x', zlast: 'own' });
  fs.linkSync(`${root}/a/first`, `${root}/second`);
  fs.linkSync(`${root}/a/first`, `${root}/a/third`);
  fs.symlinkSync('x', `${root}/s1`);
  fs.linkSync(`${root}/s1`, `${root}/s2`);
  const names = (found: Object_[]) =>
    found
      .filter(({ entry }) => entry.type === 'file' || entry.type === 'hardlink')
      .map(({ entry, content }) => [entry.path, entry.type, entry.target, content.toString()]);
  const found = await walk(root);
  t.same(names(found), [
    ['s2', 'hardlink', 's1', ''],
    ['second', 'file', undefined, 'x'],
    ['zlast', 'file', undefined, 'own'],
    ['a/first', 'hardlink', 'second', ''],
    ['a/third', 'hardlink', 'second', ''],
  ]);
  t.equal(by(found, 'a/third').mtimeNsec, by(found, 'second').mtimeNsec);
  t.match(by(found, 's1'), { type: 'symlink', target: 'x' });
  t.match(by(found, 's2'), { type: 'hardlink', target: 's1' });
  t.same(names(await walk(root, { prefetch: ['a/third'] }))[0], [
    'a/third',
    'file',
    undefined,
    'x',
  ]);
});

t.test('whiteouts are dropped when asked, with what is below them', async t => {
  const root = tree(t, {
    'd/.wh.gone': '',
    'd/.wh..wh..opq': '',
    'd/kept': '',
    '.wh.dir/below': '',
    '.wh.\xff': '',
    'x.wh.y': '',
  });
  t.same(paths(await walk(root, { dropWhiteouts: 'oci' })), ['', 'd', 'x.wh.y', 'd/kept']);
  const all = paths(await walk(root));
  t.equal(all.length, 9);
  t.same(paths(await walk(root, { dropWhiteouts: 'none' })), all);
  t.same(paths(await walk(root, { dropWhiteouts: 'overlayfs' })), all);
  t.same(
    paths(await walk(root, { dropWhiteouts: 'oci', prefetch: ['.wh.dir/below', 'd/.wh.gone'] })),
    ['', 'd', 'x.wh.y', 'd/kept'],
    'a pattern does not bring them back',
  );
});

t.test('of a whiteout that acts on a parent comes only that it is there', async t => {
  const root = tree(t, {
    'd/.wh.gone': 'content',
    '.wh.dir/below': 'content',
    '.wh.linked': 'needed',
    kept: 'kept',
  });
  fs.symlinkSync('to', `${root}/.wh.link`);
  fs.linkSync(`${root}/.wh.linked`, `${root}/other`);
  for (const prefetch of [[], ['.wh.dir/below', 'd/.wh.gone']]) {
    const found = await walk(root, { bareWhiteouts: 'oci', prefetch });
    const told = found.map(
      ({ entry, content }) => `${entry.path} ${entry.type} ${content.toString()}`,
    );
    t.same(told.sort(), [
      ' directory ',
      '.wh.dir file ',
      '.wh.link file ',
      // its other name is the same file
      '.wh.linked file needed',
      'd directory ',
      'd/.wh.gone file ',
      'kept file kept',
      'other hardlink ',
    ]);
  }
  t.equal((await walk(root, { bareWhiteouts: 'none' })).length, 9);
});

t.test('overlayfs whiteouts', { skip: !isRoot && 'needs root' }, async t => {
  const root = tree(t, { 'opaque/kept': '', file: '' });
  execFileSync('mknod', [`${root}/gone`, 'c', '0', '0']);
  execFileSync('mknod', [`${root}/null`, 'c', '1', '3']);
  t.same(paths(await walk(root, { dropWhiteouts: 'overlayfs' })), [
    ...['', 'file', 'null', 'opaque', 'opaque/kept'],
  ]);
  t.ok(paths(await walk(root, { dropWhiteouts: 'oci' })).includes('gone'));
});

t.test('patterns: what they match comes first, in their order', async t => {
  const root = tree(t, {
    'usr/lib/z': '1',
    'usr/lib/sub/a': '2',
    'usr/bin/b': '3',
    'etc/conf': '4',
    top: '5',
  });
  const order = async (...prefetch: string[]): Promise<string[]> => {
    const found = paths(await walk(root, { prefetch }));
    t.same([...found].sort(), paths(await walk(root)).sort(), 'each object once');
    t.equal(found[0], '');
    return found.slice(1);
  };
  const layout = paths(await walk(root)).slice(1);
  t.same(await order(''), layout);
  t.same(await order('usr/lib', 'top'), [
    ...['usr/lib', 'usr/lib/sub', 'usr/lib/z', 'usr/lib/sub/a', 'top'],
    ...['etc', 'usr', 'etc/conf', 'usr/bin', 'usr/bin/b'],
  ]);
  t.same(
    await order('usr/lib/sub', ''),
    ['usr/lib/sub', 'usr/lib/sub/a', ...layout.filter(name => !name.startsWith('usr/lib/sub'))],
    'the nearest pattern counts',
  );
  fs.symlinkSync('usr', `${root}/link`);
  const plain = paths(await walk(root)).slice(1);
  const nothing = ['none', 'top/x', '../x', 'usr/../top', 'link/lib', 'a\0b', 'n'.repeat(300)];
  t.same(await order(...nothing), plain, 'what leads nowhere changes nothing');
  t.same((await order('link'))[0], 'link', 'a symlink is itself');
});

t.test('data come in the order of the nearest pattern, then in layout order', async t => {
  const name = fc.constantFrom('a', 'b', 'c');
  const file = fc.array(name, { minLength: 1, maxLength: 4 }).map(names => `${names.join('/')}f`);
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(file, { maxLength: 12 }),
      fc.uniqueArray(
        fc.oneof(
          file,
          fc.array(name, { maxLength: 3 }).map(n => n.join('/')),
        ),
        {
          maxLength: 4,
        },
      ),
      async (files, prefetch) => {
        const root = tree(t, Object.fromEntries(files.map(f => [f, f])));
        const data = (found: Object_[]) => paths(found.filter(({ entry }) => entry.size > 0));
        const rank = (of: string): number => {
          for (let at = of; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) {
            if (prefetch.includes(at)) return prefetch.indexOf(at);
            if (at === '') return prefetch.length;
          }
        };
        const plain = data(await walk(root));
        const due = plain
          .map((p, i) => ({ p, i }))
          .sort((x, y) => rank(x.p) - rank(y.p) || x.i - y.i);
        const found = await walk(root, { prefetch });
        t.same(
          data(found),
          due.map(({ p }) => p),
        );
        t.equal(new Set(paths(found)).size, found.length);
        t.equal(found.length, (await walk(root)).length);
      },
    ),
    { numRuns: 60 },
  );
});

t.test('random trees of five levels agree with find', async t => {
  const name = fc.uint8Array({ minLength: 1, maxLength: 3 }).map(bytes =>
    Buffer.from(bytes)
      .toString('latin1')
      .replace(/[/\0\n]/g, '_')
      .replace(/^\.{1,2}$/, '_'),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.array(name, { maxLength: 4 }), name, fc.nat(3000)), { maxLength: 20 }),
      fc.boolean(),
      async (list, readAhead) => {
        const root = temporaryDirectory(t);
        for (const [parents, last, size] of list) {
          const parent = Buffer.from([root, ...parents].join('/'), 'latin1');
          try {
            fs.mkdirSync(parent, { recursive: true });
            const file = Buffer.from([root, ...parents, last].join('/'), 'latin1');
            fs.writeFileSync(file, randomBytes(size), { flag: 'wx' });
          } catch {
            continue; // the name is taken by something else
          }
        }
        const found = await walk(root, { readAhead });
        const format = '%P\\t%y\\t%m\\t%U\\t%G\\t%T@\\n';
        const listed = execFileSync('find', ['.', '-mindepth', '1', '-printf', format], {
          cwd: root,
          encoding: 'latin1',
        });
        const seconds = ({ mtime, mtimeNsec }: Entry) =>
          `${mtime}.${String(mtimeNsec).padStart(9, '0')}0`;
        const ours = found.slice(1).map(({ entry: e }) => {
          const type = e.type === 'file' ? 'f' : 'd';
          return [e.path, type, e.mode.toString(8), e.uid, e.gid, seconds(e)].join('\t');
        });
        const theirs = listed.split('\n').filter(line => line !== '');
        t.same(ours.sort(), theirs.sort());
        for (const { entry, content } of found) {
          if (entry.type !== 'file') continue;
          const file = Buffer.from(`${root}/${entry.path}`, 'latin1');
          if (!fs.readFileSync(file).equals(content)) t.fail(entry.path);
        }
      },
    ),
    { numRuns: 25 },
  );
});

t.test('sees what GNU tar sees in a package', async t => {
  const root = path.dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const sha = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
  const theirs: string[] = [];
  const tar = spawn('tar', ['-C', root, '-cf', '-', '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const extract = tar.stdout.pipe(extractTar());
  for await (const one of extract) {
    const { name, type, mode } = one.header;
    const of = name.replace(/^\.\/|\/$/g, '');
    const line = `${of === '.' ? '' : of} ${type} ${mode}`;
    theirs.push(`${line} ${sha(await buffer(one))}`);
  }
  const ours = (await walk(root)).map(
    ({ entry, content }) => `${entry.path} ${entry.type} ${entry.mode} ${sha(content)}`,
  );
  t.ok(ours.length > 50);
  t.same(ours.sort(), theirs.sort());
});

t.test('what goes wrong on the way has a code and a path', async t => {
  await t.rejects(walk(path.join(temporaryDirectory(t), 'none')), {
    code: 'ENOENT',
    at: { stage: 'dir-walk' },
  });
  await t.rejects(walk(path.join(tree(t, { file: '' }), 'file')), { code: 'ENOTDIR' });
  for (const readAhead of [true, false]) {
    // far enough behind that it is not there yet when the first batch is
    const between = Array.from({ length: 20 }, (_, i) => [`a${i}`, ''] as const);
    const large = { a: randomBytes(6_000_000), 'b/c': 'x' };
    const root = tree(t, { ...large, ...Object.fromEntries(between) });
    const source = dirWalk(root, { readAhead });
    const failing = (async () => {
      for await (const _ of source)
        fs.rmSync(path.join(root, 'b'), { recursive: true, force: true });
    })();
    await t.rejects(failing, { code: 'ENOENT', at: { stage: 'dir-walk' } });
    await closed(source);
    t.same(openBelow(root), []);
  }
});

t.test('a walk that is given up leaves nothing open', async t => {
  const root = tree(t, { a: randomBytes(5_000_000), b: randomBytes(100), c: randomBytes(100) });
  for (const readAhead of [true, false]) {
    const source = dirWalk(root, { readAhead });
    await new Promise(resolve => source.once('readable', resolve));
    source.destroy();
    await closed(source);
    t.same(openBelow(root), []);
  }
});

t.test('holds a few descriptors and batches, whatever the size', async t => {
  const files: Record<string, Buffer> = { huge: randomBytes(6_000_000) };
  for (let i = 0; i < 1000; i++) files[`f${i}`] = Buffer.alloc(5000, i);
  const root = tree(t, files);
  let most = 0;
  let largest = 0;
  for await (const batch of dirWalk(root, { readAhead: true }) as AsyncIterable<WalkPart[]>) {
    most = Math.max(most, openBelow(root).length);
    const bytes = batch.reduce((sum, p) => sum + (p.kind === 'data' ? p.bytes.length : 0), 0);
    largest = Math.max(largest, bytes);
    t.ok(batch.length <= 128 + 2);
  }
  t.ok(most <= 10, `${most} descriptors`);
  t.ok(largest <= 2 * 0x80000, `${largest} bytes`);
});

t.test('is the same every time', async t => {
  const files: Record<string, Buffer> = {};
  for (let i = 0; i < 200; i++) files[`d${i % 7}/f${i}`] = randomBytes(i * 31);
  const root = tree(t, files);
  const digests = new Set<string>();
  for (const readAhead of [true, false, true]) {
    const hash = createHash('sha256');
    for (const { entry, content } of await walk(root, { readAhead })) {
      hash.update(JSON.stringify(entry)).update(content);
    }
    digests.add(hash.digest('hex'));
  }
  t.equal(digests.size, 1);
});

t.test('extended attributes come with the entry', { skip: withoutXattrs() }, async t => {
  const root = tree(t, { 'dir/file': 'x' });
  execFileSync('setfattr', ['-n', 'trusted.overlay.opaque', '-v', 'y', `${root}/dir`]);
  execFileSync('setfattr', ['-n', 'user.bytes', '-v', '0x00ff', `${root}/dir/file`]);
  fs.linkSync(`${root}/dir/file`, `${root}/dir/second`);
  const upper = await walk(root, { bareWhiteouts: 'overlayfs' });
  t.same(by(upper, 'dir').xattrs, new Map([['trusted.overlay.opaque', Buffer.from('y')]]));
  const found = await walk(root, { dropWhiteouts: 'overlayfs' });
  t.notOk('xattrs' in by(found, 'dir'), 'it has nothing to act on');
  const bytes = new Map([['user.bytes', Buffer.from([0, 255])]]);
  t.same(by(found, 'dir/file').xattrs, bytes, 'an opaque directory is kept');
  t.match(by(found, 'dir/second'), { type: 'hardlink', target: 'dir/file' });
  t.same(by(found, 'dir/second').xattrs, bytes);
  t.notOk('xattrs' in by(found, ''));
});

t.test('external files are told of and not opened', async t => {
  const root = tree(t, {
    'd/big': Buffer.alloc(0x40000),
    'd/own': 'own',
    'e/stub': '',
    'e/more': '',
  });
  fs.linkSync(`${root}/e/stub`, `${root}/e/like`);
  fs.linkSync(`${root}/e/stub`, `${root}/e/other`);
  fs.linkSync(`${root}/e/stub`, `${root}/own-link`);
  const line = (name: string, offset: number): string =>
    `${name} type=external file_size=70 blob_index=0 blob_id=${'a'.repeat(64)} chunk_size=1MiB ` +
    `chunk_0_compressed_offset=${offset} compressed_size=9000000\n`;
  const text = line('d/big', 512) + line('e/stub', 0) + line('e/like', 0) + line('e/other', 70);
  const attributes = parseAttributes(Buffer.from(`${text}gone type=external\n`));
  const warnings: string[] = [];
  const stage = dirWalk(root, { attributes, warn: message => warnings.push(message) });
  const external: ExternalPart[] = [];
  const own: string[] = [];
  for await (const batch of stage as AsyncIterable<WalkPart[]>) {
    for (const part of batch) {
      if (part.kind === 'external') external.push(part);
      else if (part.kind === 'entry') own.push(`${part.entry.type} ${part.entry.path}`);
      else if (part.kind === 'data') own.push(part.bytes.toString());
    }
  }
  const file = (name: string): string[] => [`file ${name}`];
  t.same(own, [
    ...['directory ', ...file('own-link'), 'directory d', ...file('d/own'), 'own'],
    ...['directory e', ...file('e/more')],
  ]);
  t.same(
    external.map(({ entry: { path, type, size, target }, place }) => [
      ...[path, type, size, target, place?.offset],
    ]),
    [
      ['d', 'directory', 0, undefined, undefined],
      ['e', 'directory', 0, undefined, undefined],
      ['d/big', 'file', 0x40000, undefined, 512],
      ['e/like', 'file', 70, undefined, 0],
      ['e/other', 'file', 70, undefined, 70],
      ['e/stub', 'hardlink', 0, 'e/like', undefined],
    ],
    'what is said makes names of one file two',
  );
  t.same(warnings, ['1 of the external paths are not in the directory, the first is /gone']);
});
