/** Clients of other projects read what is served: libnbd's tools and qemu's. */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { start, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { layerPath, layerTar } from '../support/tar/layers.js';

const run = promisify(execFile);
const lacks = (program: string): string | false =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).error ? `needs ${program}` : false;

type ImageType = 'tar-rafs' | 'tar-tarfs' | 'targz-ref';
const ID = 'f'.repeat(64);

/** An image, its block export, and a server of it. */
const served = async (
  t: Test,
  type: ImageType,
  extra: readonly string[] = [],
  serving: readonly string[] = [],
) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  fs.mkdirSync(at('blobs'));
  const create = ['create', '-t', type, '-B', at('boot'), '-D', at('blobs'), '-l', 'error'];
  if (type === 'targz-ref') {
    const layer = fs.readFileSync(layerPath('kinds.tar.gz'));
    await succeed(t, [...create, ...extra, layerPath('kinds.tar.gz')]);
    const id = createHash('sha256').update(layer).digest('hex');
    fs.writeFileSync(at(`blobs/${id}`), layer);
  } else {
    fs.writeFileSync(at('tar'), layerTar('kinds'));
    await succeed(t, [...create, '--blob-id', ID, ...extra, at('tar')]);
    if (type === 'tar-tarfs') fs.copyFileSync(at('tar'), at(`blobs/${ID}`));
  }
  const image = ['-B', at('boot'), '-D', at('blobs')];
  await succeed(t, ['export', '--block', ...image, '-O', at('disk'), '-l', 'error']);
  const { child, ended } = start(['nbd', ...image, ...serving, '--socket', at('socket')]);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  t.teardown(() => child.kill('SIGKILL'));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    t.match(await ended, { exit: 0, stderr: '' });
  };
  return { at, uri: line.toString().trimEnd(), disk: fs.readFileSync(at('disk')), stop };
};

const KINDS = [
  ['tar-tarfs', []],
  ['tar-rafs', ['--compressor', 'none']],
  ['tar-rafs', ['--compressor', 'zstd', '--chunk-size', '0x1000']],
  ['tar-rafs', ['--compressor', 'lz4_block', '--batch-size', '0x10000']],
  ['tar-rafs', ['--encrypt']],
  ['targz-ref', []],
] as const;

t.test(
  'nbdinfo sees one export, read only, of the right size',
  {
    skip: lacks('nbdinfo'),
  },
  async t => {
    const { uri, disk, stop } = await served(t, 'tar-rafs');
    const { stdout } = await run('nbdinfo', ['--json', uri]);
    const info: unknown = JSON.parse(stdout);
    t.match(info, {
      protocol: 'newstyle-fixed',
      structured: true,
      exports: [{ 'export-size': disk.length, is_read_only: true, can_multi_conn: true }],
    });
    const { stdout: list } = await run('nbdinfo', ['--list', '--json', uri]);
    t.match(JSON.parse(list), { exports: [{ 'export-name': '' }] });
    await t.rejects(run('nbdinfo', ['--size', uri.replace('///', '///other')]), 'of another name');
    await stop();
  },
);

for (const [type, extra] of KINDS) {
  const name = [type, ...extra].join(' ');
  t.test(`nbdcopy's copy is the block image: ${name}`, { skip: lacks('nbdcopy') }, async t => {
    const { at, uri, disk, stop } = await served(t, type, extra);
    await run('nbdcopy', [uri, at('copy')]);
    t.ok(fs.readFileSync(at('copy')).equals(disk));
    await run('nbdcopy', ['--synchronous', '--request-size=4096', uri, at('slow')]);
    t.ok(fs.readFileSync(at('slow')).equals(disk), 'in small pieces');
    await stop();
  });

  t.test(`qemu-img's copy is the block image: ${name}`, { skip: lacks('qemu-img') }, async t => {
    const { at, uri, disk, stop } = await served(t, type, extra);
    const source = ['--image-opts', `driver=raw,file.driver=nbd,file.path=${at('socket')}`];
    t.ok(uri.includes(at('socket')));
    await run('qemu-img', ['convert', '-O', 'raw', ...source, at('copy')]);
    t.ok(fs.readFileSync(at('copy')).equals(disk));
    await stop();
  });
}

interface Mapped {
  offset: number;
  length: number;
  type: number;
}

t.test('nbdinfo sees where the disk has content', { skip: lacks('nbdinfo') }, async t => {
  const { uri, disk, stop } = await served(t, 'tar-rafs');
  const { stdout } = await run('nbdinfo', ['--map=base:allocation', '--json', uri]);
  const extents = JSON.parse(stdout) as Mapped[];
  let end = 0;
  for (const { offset, length, type } of extents) {
    t.equal(offset, end);
    end += length;
    t.ok(type === 0 || type === 3, `${type}`);
    if (type === 3)
      t.ok(
        disk.subarray(offset, end).every(byte => byte === 0),
        'a hole is zeros',
      );
  }
  t.equal(end, disk.length);
  t.ok(
    extents.some(({ type }) => type === 3),
    'between the bootstrap and the blob',
  );
  const { stdout: list } = await run('nbdinfo', ['--json', uri]);
  t.match(JSON.parse(list), { exports: [{ contexts: ['base:allocation'] }] });
  await stop();
});

t.test('qemu-img sees it too', { skip: lacks('qemu-img') }, async t => {
  const { at, disk, stop } = await served(t, 'tar-rafs', ['--compressor', 'none']);
  const source = ['--image-opts', `driver=raw,file.driver=nbd,file.path=${at('socket')}`];
  const { stdout } = await run('qemu-img', ['map', '--output=json', ...source]);
  const extents = JSON.parse(stdout) as { start: number; length: number; zero: boolean }[];
  t.equal(extents.at(-1)!.start + extents.at(-1)!.length, disk.length);
  for (const { start, length, zero } of extents) {
    if (zero) t.ok(disk.subarray(start, start + length).every(byte => byte === 0));
  }
  t.ok(extents.some(({ zero }) => zero));
  await stop();
});

const noBlkid = lacks('nbdcopy') || lacks('blkid');
t.test('blkid finds the UUID of a disk that is served with one', { skip: noBlkid }, async t => {
  const { at, uri, stop } = await served(t, 'tar-rafs', [], ['--uuid']);
  await run('nbdcopy', [uri, at('copy')]);
  await succeed(t, [
    ...['export', '--block', '--uuid', '-B', at('boot'), '-D', at('blobs'), '-O', at('own')],
    ...['-l', 'error'],
  ]);
  t.ok(fs.readFileSync(at('copy')).equals(fs.readFileSync(at('own'))), 'the same as of an export');
  const { stdout } = await run('blkid', ['-p', '-s', 'UUID', '-o', 'value', at('copy')]);
  t.match(stdout, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$/);
  await stop();
});
