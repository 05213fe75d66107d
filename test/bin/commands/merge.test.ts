/** merge, run as a process: what it makes and what it refuses. Its bytes: test/golden. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { cli, hasFailed, succeed } from '../../support/process/cli.js';
import { makeFifo, shell, temporaryDirectory } from '../../support/process/fs.js';
import { golden, goldenPath } from '../../support/images/golden.js';
import { layerPath } from '../../support/tar/layers.js';
import { tarOf } from '../../support/tar/tar.js';
import { filesBelow } from '../../support/process/left.js';

const V6 = goldenPath('layer.layer-0.v6');
const MERGE = ['merge', '-l', 'warn'];

const folder = (t: Test) => {
  const out = temporaryDirectory(t);
  return { out, at: (name: string): string => path.join(out, name) };
};

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const json = (file: string): Record<string, unknown> =>
  JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, unknown>;
const blobs = (file: string) => parseBootstrap(fs.readFileSync(file)).blobs;

t.test('a file in a directory is named by its digest; the result is told', async t => {
  const { out, at } = folder(t);
  await succeed(t, [...MERGE, '-D', out, '-J', at('out.json'), V6]);
  const name = filesBelow(out).find(file => /^[0-9a-f]{64}$/.test(file))!;
  t.same(filesBelow(out), [name, 'out.json'].sort());
  t.equal(sha256(fs.readFileSync(at(name))), name);
  t.match(json(at('out.json')), {
    bootstrap: at(name),
    blobs: [blobs(V6)[0]!.id],
    external_bootstrap: '',
    external_blobs: [],
    fs_version: '6',
    compressor: 'none',
  });
  t.match(fs.readFileSync(at('out.json'), 'utf8'), /^\{\n {2}"version": "[^\n]+\n {2}"bootstrap"/);
});

t.test('the example of the README: blobs are found by the ids in the bootstraps', async t => {
  const { out, at } = folder(t);
  const readme = fs.readFileSync(new URL('../../../../README.md', import.meta.url), 'utf8');
  const example = /^ {4}rafs-stream (merge --bootstrap image.boot .*)$/m.exec(readme)?.[1];
  t.ok(example, 'there is one');
  const [lower, upper] = example!.split(' ').slice(3) as [string, string];
  for (const [name, tar] of [
    [lower, tarOf([{ name: 'a', content: 'low' }])],
    [upper, tarOf([{ name: 'b', content: 'up' }])],
  ] as const) {
    fs.writeFileSync(at('tar'), tar);
    const create = ['create', '-l', 'warn', '-t', 'tar-rafs', '-D', out];
    await succeed(t, [...create, '-B', at(name), at('tar')]);
  }
  await succeed(t, [...example!.split(' '), '-l', 'warn'], { cwd: out });
  await succeed(t, ['check', '-l', 'warn', '-D', out, at('image.boot')]);
  const unpack = ['unpack', '-l', 'warn', '-D', out, '--output', at('out.tar')];
  await succeed(t, [...unpack, at('image.boot')]);
  const content = await shell('tar -xOf "$1" a b', at('out.tar'));
  t.equal(content.toString(), 'lowup');
});

t.test('who names a blob: the command line, a file named like one, the bootstrap', async t => {
  const { at } = folder(t);
  const own = blobs(V6)[0]!.id;
  const named = at(`${'e'.repeat(64)}.boot`);
  fs.copyFileSync(V6, named);
  const given = 'f'.repeat(64);
  for (const [argv, id] of [
    [[V6], own],
    [[named], 'e'.repeat(64)],
    [['--original-blob-ids', given, named], given],
    [['--original-blob-ids', given, V6], given],
  ] as const) {
    await succeed(t, [...MERGE, '-B', at('out'), ...argv]);
    t.equal(blobs(at('out'))[0]!.id, id, argv.join(' '));
  }
});

t.test('one blob with digests of two algorithms is refused', async t => {
  const { at } = folder(t);
  for (const digester of ['sha256', 'blake3']) {
    const create = ['create', '-l', 'warn', '-t', 'tar-rafs', '--digester', digester];
    fs.writeFileSync(at('tar'), tarOf([{ name: digester, content: 'the same' }]));
    await succeed(t, [...create, '-B', at(digester), '-b', at(`${digester}.blob`), at('tar')]);
  }
  const ran = await cli([...MERGE, '-B', at('out'), at('sha256'), at('blake3')]);
  hasFailed(t, ran, 'two digesters', 1, /digests of different algorithms/);
  t.notOk(fs.existsSync(at('out')));
});

t.test('through a FIFO and to standard output as to a file', async t => {
  const { at } = folder(t);
  await succeed(t, [...MERGE, '-B', at('boot'), V6]);
  const due = fs.readFileSync(at('boot'));
  makeFifo(at('fifo'));
  const [read] = await Promise.all([
    shell('cat "$1"', at('fifo')),
    succeed(t, [...MERGE, '-B', at('fifo'), V6]),
  ]);
  t.ok(read.equals(due));
  const ran = await cli([...MERGE, '-B', '-', V6]);
  t.ok(ran.stdout.equals(due));
});

t.test('layers that are blobs with a bootstrap in them', async t => {
  const { out, at } = folder(t);
  const create = ['create', '-l', 'warn', '-t', 'targz-rafs', '--features', 'blob-toc'];
  await succeed(t, [...create, '--blob-inline-meta', '-D', out, layerPath('layer-0.tar.gz')]);
  const id = filesBelow(out)[0]!;
  await succeed(t, [...MERGE, '-B', at('boot'), at(id)]);
  t.match(blobs(at('boot')), [{ id, tocSize: 0 }]);
  t.equal(blobs(at('boot'))[0]!.features & 0x2, 0, 'the bootstrap is elsewhere now');
  await succeed(t, ['check', '-l', 'warn', '-D', out, at('boot')]);

  // with the blobs at hand, what only a whole file can tell is known
  fs.writeFileSync(
    at('config.json'),
    JSON.stringify({
      version: 2,
      backend: { type: 'localfs', localfs: { dir: out } },
    }),
  );
  await succeed(t, [...MERGE, '-C', at('config.json'), '-B', at('boot2'), at(id)]);
  const whole = fs.readFileSync(at(id));
  const [blob] = blobs(at('boot2'));
  t.match(blob, { id, compressedSize: whole.length });
  t.ok(blob!.tocSize > 512);
  t.equal(blob!.tocDigest.toString('hex'), sha256(whole.subarray(-blob!.tocSize)));
});

t.test('a parent, a dictionary and patterns', async t => {
  const { at } = folder(t);
  const parent = goldenPath('merge.v6');
  const result = await cli(
    [
      ...MERGE,
      '--parent-bootstrap',
      parent,
      '--chunk-dict',
      `bootstrap=${parent}`,
      '--prefetch-policy',
      'fs',
      '-B',
      at('boot'),
      V6,
    ],
    { stdin: '/bin/sh\nbad\n' },
  );
  t.equal(result.exit, 0);
  t.match(result.stderr, /WARN Illegal file path bad specified, should be absolute path\n$/);
  t.equal(parseBootstrap(fs.readFileSync(at('boot'))).prefetch.length, 1);
  t.equal(blobs(at('boot'))[0]!.id, blobs(parent)[0]!.id, 'a known blob keeps its id');
  await succeed(t, [...MERGE, '--parent-bootstrap', '', '-B', at('none'), V6]);
});

t.test('layers that do not go together: a record, and exit status 2', async t => {
  const { out, at } = folder(t);
  for (const [other, why] of [
    ['merge.v5', 'Using inconsistent RAFS version V6, target RAFS version Ok(V5)'],
    ['tarfs.kinds', 'Using inconsistent RAFS TARFS mode'],
  ] as const) {
    const ran = await cli([...MERGE, '-B', at('boot'), V6, goldenPath(other)]);
    t.equal(ran.exit, 2, other);
    t.match(ran.stderr, /^\[[^\n]+\] ERROR [^\n]+\n$/);
    t.match(ran.stderr, `ERROR message:Inconsistent RAFS Filesystem: ${why}`);
    t.same(filesBelow(out), []);
  }
});

t.test('whatever is wrong is told in one line, and nothing is left', async t => {
  const { out, at } = folder(t);
  const inputs = temporaryDirectory(t);
  const cut = path.join(inputs, 'cut');
  fs.writeFileSync(cut, golden('layer.layer-0.v6').subarray(0, 8192));
  const noise = path.join(inputs, 'noise');
  fs.writeFileSync(noise, Buffer.alloc(5000, 'noise'));
  const to = ['-B', at('boot')];
  const d64 = 'd'.repeat(64);
  const cases: [argv: string[], text: RegExp][] = [
    [[V6], /^Error: both --bootstrap and --blob-dir are missing, please specify one/],
    [['-D', at('none'), V6], /Directory to store blobs does not exist/],
    [[...to, at('none')], /load bootstrap ".*none": ENOENT/],
    [[...to, noise], /load bootstrap ".*noise": invalid RAFS superblock/],
    [[...to, V6, cut], /load bootstrap ".*cut": /],
    [[...to, '--parent-bootstrap', at('none'), V6], /load parent bootstrap ".*none": ENOENT/],
    [[...to, '--chunk-dict', at('none'), V6], /load chunk dict bootstrap ".*none": ENOENT/],
    [[...to, '--chunk-dict', 'other=x', V6], /invalid chunk dict type other/],
    [[...to, goldenPath('merge.v6')], /having multiple associated data blobs/],
    [
      [...to, '--blob-digests', `${d64},${d64}`, V6],
      /number of blob digest entries 2 doesn't match number of sources 1/,
    ],
    [[...to, '--original-blob-ids', 'a,b', V6], /number of original blob id entries 2 /],
    [[...to, '--blob-sizes', '1,2', V6], /number of blob size entries 2 /],
    [[...to, '--blob-toc-digests', `${d64},${d64}`, V6], /number of toc digest entries 2 /],
    [[...to, '--blob-toc-sizes', '1,2', V6], /number of toc size entries 2 /],
    [[...to, '--blob-sizes', '1x', V6], /invalid number in --blob-sizes option/],
    [[...to, '--blob-digests', 'abc', V6], /"abc" is not a digest of 64 hexadecimal digits/],
    [[...to, '--original-blob-ids', 'x'.repeat(65), V6], /blob id 'x+'/],
    [
      [...to, '--original-blob-ids', 'a,a', V6, goldenPath('tar-rafs.kinds.zstd.v6')],
      /two layers have a blob with the id 'a'/,
    ],
    [['-B', at('none/boot'), V6], /ENOENT/],
  ];
  for (const [argv, text] of cases) {
    hasFailed(t, await cli([...MERGE, ...argv]), argv.slice(0, -1).join(' '), 1, text);
    t.same(filesBelow(out), []);
  }
  const none = await cli(['merge', '-B', at('boot')]);
  t.equal(none.exit, 2, 'no source is wrong usage');
});

t.test('nobody is left waiting at a FIFO', async t => {
  const { at } = folder(t);
  makeFifo(at('fifo'));
  const [read, ran] = await Promise.all([
    shell('cat "$1"', at('fifo')),
    cli([...MERGE, '-B', at('fifo'), '--blob-sizes', 'x', V6]),
  ]);
  t.equal(read.length, 0);
  hasFailed(t, ran, 'a wrong size', 1, /invalid number/);
});
