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
const served = async (t: Test, type: ImageType, extra: readonly string[] = []) => {
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
  const { child, ended } = start(['nbd', ...image, '--socket', at('socket')]);
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
