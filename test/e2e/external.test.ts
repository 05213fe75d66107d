/** External files, from the attributes file to the bytes that readers get. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cli, hasFailed, start, succeed } from '../support/process/cli.js';
import { factsBelow, mountErofs, withoutErofs, withoutFsck } from '../support/peers/erofs-tools.js';
import { makeFifo, shell, temporaryDirectory } from '../support/process/fs.js';
import { randomBytes } from '../support/random.js';

const KIB = 1024;
/** By path: what users of the image must see. */
const EXTERNAL = new Map([
  ['models/weights.bin', randomBytes(300 * KIB + 17, 1)],
  ['models/deep/tokens', randomBytes(5 * KIB, 2)],
  ['tail', randomBytes(100, 3)],
]);
const OWN = new Map([
  ['models/readme', Buffer.from('not external\n')],
  ['own', randomBytes(10 * KIB, 4)],
]);

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

/** A directory, two blobs that hold its external files, and the attributes file that says so. */
const source = (
  t: Test,
  { unit = 512, chunkSize = '64KiB', stubs = true, more = (_: string): string => '' } = {},
) => {
  const directory = temporaryDirectory(t);
  const at = (...names: string[]): string => path.join(directory, ...names);
  fs.mkdirSync(at('blobs'));
  const write = (name: string, content: Buffer): void => {
    fs.mkdirSync(path.dirname(at('tree', name)), { recursive: true });
    fs.writeFileSync(at('tree', name), content);
  };
  for (const [name, content] of OWN) write(name, content);

  const files: { name: string; index: number; offset: number; size: number }[] = [];
  const pieces: Buffer[][] = [[], []];
  [...EXTERNAL].forEach(([name, content], i) => {
    // what lies empty in the tree has its size in the attributes
    write(name, stubs ? Buffer.alloc(0) : content);
    const index = i % 2;
    const header = Buffer.alloc(unit, 'header ');
    const padding = Buffer.alloc((unit - (content.length % unit)) % unit);
    const offset = Buffer.concat(pieces[index]!).length + unit;
    pieces[index]!.push(header, content, padding);
    files.push({ name, index, offset, size: content.length });
  });
  const blobs = pieces.map(list => Buffer.concat(list));
  const ids = blobs.map(sha256);
  blobs.forEach((blob, i) => fs.writeFileSync(at('blobs', ids[i]!), blob));
  const lines = files.map(({ name, index, offset, size }) =>
    [
      `/${name} type=external blob_index=${index} blob_id=${ids[index]!}`,
      `chunk_size=${chunkSize} chunk_0_compressed_offset=${offset}`,
      `compressed_size=${blobs[index]!.length} ${stubs ? `file_size=${size}` : ''} ${more(name)}`,
    ].join(' '),
  );
  fs.writeFileSync(at('attributes'), `${lines.join('\n')}\n`);
  return { at, ids, blobs };
};

const quiet = ['-l', 'error'];

/** Files by their path, as GNU tar extracts them. */
const extracted = async (t: Test, tar: string): Promise<Map<string, Buffer>> => {
  const tree = temporaryDirectory(t);
  await shell('tar -xf "$1" -C "$2"', tar, tree);
  const found = new Map<string, Buffer>();
  for (const name of fs.readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
    const file = path.join(tree, name);
    if (fs.statSync(file).isFile()) found.set(name, fs.readFileSync(file));
  }
  return found;
};

const sameFiles = (t: Test, got: Map<string, Buffer>, due: Map<string, Buffer>): void => {
  t.same([...got.keys()].sort(), [...due.keys()].sort());
  for (const [name, content] of due) t.ok(got.get(name)?.equals(content), name);
};

for (const version of ['5', '6']) {
  for (const stubs of [true, false]) {
    t.test(`v${version}, ${stubs ? 'empty' : 'whole'} files in the tree`, async t => {
      const { at, ids } = source(t, { stubs });
      const create = ['create', '-t', 'dir-rafs', '-v', version, '--chunk-size', '0x10000'];
      const [own, external] = [at('image.boot'), at('image.external')];
      await succeed(t, [
        ...[...create, '--attributes', at('attributes'), '-B', own, '-D', at('blobs')],
        ...['-J', at('out.json'), ...quiet, at('tree')],
      ]);
      const json = JSON.parse(fs.readFileSync(at('out.json'), 'utf8')) as { blobs: string[] };
      t.match(json, { external_bootstrap: external, external_blobs: ids });
      const ownId = json.blobs[0]!;
      const ownBlob = fs.readFileSync(at('blobs', ownId));
      for (const [name, content] of EXTERNAL) {
        t.notOk(ownBlob.includes(content.subarray(0, 100)), `the blob has nothing of ${name}`);
      }

      const tar = at('out.tar');
      const unpack = ['unpack', '-D', at('blobs'), '--output', tar, ...quiet, '-B'];
      await succeed(t, [...unpack, external]);
      sameFiles(t, await extracted(t, tar), EXTERNAL);
      await succeed(t, [...unpack, own]);
      sameFiles(t, await extracted(t, tar), OWN);

      await t.test('merged they are the directory', async t => {
        const merged = at('merged.boot');
        const known = ['--original-blob-ids', `${ownId},none`];
        await succeed(t, ['merge', '-B', merged, ...known, ...quiet, own, external]);
        await succeed(t, [...unpack, merged]);
        sameFiles(t, await extracted(t, tar), new Map([...EXTERNAL, ...OWN]));
      });

      await t.test('check and inspect tell of them', async t => {
        const ran = await cli(['check', '-D', at('blobs'), external]);
        const chunks = [...EXTERNAL.values()].map(({ length }) => Math.ceil(length / (64 * KIB)));
        const count = chunks.reduce((sum, n) => sum + n, 0);
        t.match(ran, { exit: 0, stderr: new RegExp(`verified ${count} chunks, .* in 2 blobs`) });
        const lines = ran.stdout.toString().split('\n').slice(1, 3);
        for (const [i, id] of ids.entries()) t.match(lines[i], new RegExp(`${id}, .* external$`));
        const blobs = await succeed(t, ['inspect', '-R', 'blobs', ...quiet, external]);
        for (const id of ids) t.match(blobs.stdout.toString(), id);
      });
    });
  }
}

t.test('checksums are compared, where there are some', async t => {
  for (const [crcs, exit] of [
    ['crcs=1,2,3,4,5', 1],
    ['crcs=', 0],
  ] as const) {
    const { at } = source(t, { more: name => (name === 'models/weights.bin' ? crcs : '') });
    const create = ['create', '-t', 'dir-rafs', '--attributes', at('attributes')];
    await succeed(t, [...create, '-B', at('boot'), '-D', at('blobs'), ...quiet, at('tree')]);
    const ran = await cli(['check', '-D', at('blobs'), ...quiet, at('boot.external')]);
    if (exit === 0) t.match(ran, { exit, stderr: '' });
    else hasFailed(t, ran, crcs, exit, /expected crc32 1, got .*models\/weights\.bin/);
  }
});

t.test('a blob of another size is none of the image', async t => {
  const { at, ids, blobs } = source(t);
  const create = ['create', '-t', 'dir-rafs', '--attributes', at('attributes')];
  await succeed(t, [...create, '-B', at('boot'), '-D', at('blobs'), ...quiet, at('tree')]);
  fs.truncateSync(at('blobs', ids[0]!), blobs[0]!.length - 1);
  const ran = await cli(['check', '-D', at('blobs'), ...quiet, at('boot.external')]);
  hasFailed(t, ran, 'check', 1, new RegExp(`got ${blobs[0]!.length - 1} `));
});

t.test('as clients call it: two FIFOs, the second read behind the first', async t => {
  for (const version of ['5', '6']) {
    const { at, ids } = source(t);
    const [blob, external] = [at('blob.fifo'), at('external.fifo')];
    makeFifo(blob, external);
    const { ended } = start([
      ...['create', '--log-level', 'warn', '--prefetch-policy', 'fs', '--blob', blob],
      ...['--whiteout-spec', 'none', '--fs-version', version, '--blob-inline-meta'],
      ...['--type', 'dir-rafs', ...(version === '6' ? ['--features', 'blob-toc'] : [])],
      ...['--attributes', at('attributes'), '--external-blob', external, at('tree')],
    ]);
    const [own, meta] = await Promise.all([blob, external].map(fifo => fs.promises.readFile(fifo)));
    t.match(await ended, { exit: 0, stderr: '' });
    fs.writeFileSync(at('own'), own!);
    fs.writeFileSync(at('meta'), meta!);
    const tar = at('out.tar');
    const unpack = ['unpack', '-D', at('blobs'), '--output', tar, ...quiet, '-B', at('meta')];
    await succeed(t, unpack);
    sameFiles(t, await extracted(t, tar), EXTERNAL);
    const ran = await cli(['check', at('meta')]);
    // a v5 bootstrap at the start of a file is no different from one that is a file
    const said = version === '6' ? /data of blob [0-9a-f]+ are not verified/ : /super block/;
    t.match(ran, { exit: 0, stderr: said });
    for (const id of ids) t.match(ran.stdout.toString(), id, 'the ids are those of the blobs');
    const astray = await cli(['unpack', '--output', tar, ...quiet, '-B', at('meta')]);
    hasFailed(t, astray, 'without the blobs', 1, /--blob-dir or|or --blob-dir/);
    await succeed(t, ['unpack', '-b', at('own'), '--output', tar, ...quiet, '-B', at('own')]);
    sameFiles(t, await extracted(t, tar), OWN);
  }
});

/** An image whose external files lie in blocks: EROFS can have the blobs as devices. */
const inBlocks = async (t: Test) => {
  const { at, ids } = source(t, { unit: 4096 });
  const create = ['create', '-t', 'dir-rafs', '--attributes', at('attributes')];
  await succeed(t, [...create, '-B', at('boot'), '-D', at('blobs'), ...quiet, at('tree')]);
  return { at, image: at('boot.external'), devices: ids.map(id => at('blobs', id)) };
};

const sameBelow = (t: Test, tree: string): void => {
  const files = [...factsBelow(tree)].flatMap(([name, { content }]) =>
    content === undefined ? [] : [[name, content] as const],
  );
  sameFiles(t, new Map(files), EXTERNAL);
};

t.test('the kernel mounts it', { skip: withoutErofs() }, async t => {
  const { at, image, devices } = await inBlocks(t);
  mountErofs(t, at('mnt'), image, devices);
  sameBelow(t, at('mnt'));
});

t.test('fsck.erofs extracts it', { skip: withoutFsck() }, async t => {
  const { at, image, devices } = await inBlocks(t);
  const argv = [...devices.map(device => `--device=${device}`), `--extract=${at('out')}`, image];
  const { status, stderr } = spawnSync('fsck.erofs', argv, { encoding: 'utf8' });
  t.equal(status, 0, stderr);
  sameBelow(t, at('out'));
});

t.test('what cannot be is told', async t => {
  const { at, ids } = source(t);
  const good = fs.readFileSync(at('attributes'), 'utf8');
  const create = async (text: string, type = 'dir-rafs', tree = at('tree')) => {
    fs.writeFileSync(at('attributes'), text);
    const argv = ['create', '-t', type, '--attributes', at('attributes'), '-B', at('boot')];
    return cli([...argv, '-D', at('blobs'), '-l', 'warn', tree]);
  };
  const broken: [what: string, text: string, message: RegExp][] = [
    ['no id', good.replace(ids[0]!, ''), /missing blob_id .*line 1/],
    ['a short id', good.replace(ids[0]!, 'abc'), /got 3 characters/],
    ['two blobs of one index', good.replaceAll('blob_index=1', 'blob_index=0'), /is both/],
    ['a gap', good.replaceAll('blob_index=1', 'blob_index=2'), /external blob 1 has no file/],
    ['a negation', `!x\n${good}`, /line 1/],
    ['a file past the end', good.replace('file_size=100', 'file_size=1000000000'), /ends at/],
  ];
  const before = fs.readdirSync(at('blobs')).sort();
  for (const [what, text, message] of broken) {
    hasFailed(t, await create(text), what, 1, message);
    t.same(fs.readdirSync(at('blobs')).sort(), before, `${what}: nothing is left`);
    t.notOk(fs.existsSync(at('boot')) || fs.existsSync(at('boot.external')), what);
  }
  hasFailed(
    t,
    await cli([
      'create',
      '-t',
      'dir-rafs',
      '--attributes',
      at('none'),
      '-B',
      at('b'),
      '-D',
      '/',
      '/',
    ]),
    'no such file',
    1,
    /ENOENT/,
  );
  t.match(await create(`${good}/gone type=external\n`), {
    exit: 0,
    stderr: /1 of the external paths are not in the directory, the first is \/gone/,
  });
  execFileSync('tar', ['-cf', at('tree.tar'), '-C', at('tree'), '.']);
  t.match(await create(good, 'tar-rafs', at('tree.tar')), {
    exit: 0,
    stderr: /--attributes is of no use/,
  });
});
