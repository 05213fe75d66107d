/**
 * Tars of many writers, and the odd ones that packages come with: their images, of v5, of v6 and as
 * Tarfs, are what containerd makes of them.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { createImage } from '../../streams/image/create-image.js';
import { imageTar } from '../../streams/image/unpack-image.js';
import { isRoot, temporaryDirectory } from '../support/process/fs.js';
import { firstDifference, imageNames } from '../support/images/image-names.js';
import { builtStack } from '../support/images/stack-lines.js';
import { buildGo } from '../support/peers/go.js';
import { layerJudge } from '../support/peers/layer-judge.js';
import { memberOf, tarOf } from '../support/tar/tar.js';

const { judge, missing } = layerJudge(t);

/** A directory with something of everything, whose names fit the oldest headers. */
const sample = (root: string): void => {
  fs.mkdirSync(path.join(root, 'dir/sub'), { recursive: true });
  fs.writeFileSync(path.join(root, 'dir/file'), 'content'.repeat(3000));
  fs.writeFileSync(path.join(root, 'dir/empty'), '');
  fs.writeFileSync(path.join(root, 'dir/sub/\u00fcml\u00e4ut \n'), 'x');
  fs.linkSync(path.join(root, 'dir/file'), path.join(root, 'hard'));
  fs.symlinkSync('dir//file', path.join(root, 'link'));
  fs.symlinkSync('nowhere', path.join(root, 'dir/dangling'));
  spawnSync('mkfifo', [path.join(root, 'pipe')]);
  if (isRoot) spawnSync('mknod', [path.join(root, 'device'), 'c', '1', '3']);
  fs.chmodSync(path.join(root, 'dir/sub'), 0o1770);
  fs.utimesSync(path.join(root, 'dir/file'), 1_600_000_000.75, 1_600_000_000.75);
  fs.truncateSync(path.join(root, 'dir/empty'), 100_000); // a hole
};

const WRITERS: readonly (readonly [program: string, ...args: string[]])[] = [
  ...['v7', 'oldgnu', 'gnu', 'ustar', 'posix'].map(
    format => ['tar', `--format=${format}`, '--sort=name', '-cf', '-', '.'] as const,
  ),
  ['tar', '--format=posix', '--sparse', '-cf', '-', '.'],
  ['tar', '--format=gnu', '--sparse', '-cf', '-', '.'],
  ...['ustar', 'pax', 'gnutar', 'v7'].map(
    format => ['bsdtar', `--format=${format}`, '-cf', '-', '.'] as const,
  ),
  ...['USTAR', 'GNU', 'PAX'].map(
    format =>
      [
        'python3',
        '-c',
        'import sys,tarfile;' +
          `t=tarfile.open(fileobj=sys.stdout.buffer,mode="w|",format=tarfile.${format}_FORMAT);` +
          't.add(".");t.close()',
      ] as const,
  ),
];

/** A program that writes as Go's archive/tar does. */
const goWriter = buildGo('tar-writer');

/** Tars in the packages that tests need: what others have found worth a test. */
const found = (): string[] => {
  const folder = path.resolve('node_modules');
  const names = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter(name => name.endsWith('.tar')).map(name => path.join(folder, name));
};

t.test('tars of many writers', { skip: missing, timeout: 300_000 }, async t => {
  const root = temporaryDirectory(t);
  sample(root);
  const tars = new Map<string, Buffer>();
  const goWriters = ['ustar', 'pax', 'gnu'].map(
    format => [goWriter.program ?? 'tar-writer', format] as const,
  );
  for (const [program, ...args] of [...WRITERS, ...goWriters]) {
    const { stdout, error } = spawnSync(program, args, { cwd: root, maxBuffer: 2 ** 26 });
    const writer = path.basename(program).replace(/-[0-9a-f]{16}$/, ''); // ours has a digest
    if (error) t.comment(`there is no ${program}`);
    else if (stdout.length > 0) tars.set([writer, ...args].join(' '), stdout);
  }
  for (const file of found()) {
    if (fs.statSync(file).size < 2 ** 24) tars.set(file, fs.readFileSync(file));
  }
  const file = { name: 'f', content: 'abc' };
  tars.set('no end', tarOf([file], false));
  tars.set('no padding', tarOf([file], false).subarray(0, 515));
  tars.set('text behind the end', Buffer.concat([tarOf([file]), Buffer.from('x'.repeat(999))]));
  tars.set('another tar behind the end', Buffer.concat([tarOf([file]), tarOf([{ name: 'g' }])]));
  tars.set('nothing', Buffer.alloc(0));
  tars.set('zeros', Buffer.alloc(512));
  tars.set('names that lead out', tarOf([{ name: '../x' }, { name: 'a/../../y' }, file]));
  tars.set(
    'v7 directories',
    Buffer.concat([memberOf({ name: 'd/', type: '\0', magic: 'v7', mode: 0o750 }), tarOf([file])]),
  );
  const since = Math.floor(Date.now() / 1000) - 1;
  let compared = 0;
  let referred = 0;
  for (const [name, tar] of tars) {
    const due = await judge!.unpack([tar]);
    if (!due.names) continue; // then we may do as we like
    // a Tarfs image cannot hold sparse files, and so is refused; some writers make them unasked
    const isSparse = name.includes('--sparse') || tar.includes('GNU.sparse.');
    const versions = isSparse ? ([5] as const) : ([5, 6] as const);
    for (const fsVersion of versions) {
      try {
        const { images, blobs } = await builtStack([tar], { fsVersion });
        for (const [how, image] of Object.entries(images)) {
          const wrong = firstDifference(await imageNames(image, blobs), due.names, since);
          t.equal(wrong, undefined, `${name}, v${fsVersion}, ${how}`);
          compared++;
        }
      } catch (error) {
        t.fail(`${name}, v${fsVersion}: ${(error as Error).message}`);
      }
    }
    if (isSparse) continue; // neither can one that refers to a gzip
    const again = await judge!.unpack([await throughReference(t, tar)]);
    // what nothing describes has been given a time by the first unpacking
    const wrong = again.names && firstDifference(again.names, due.names, since);
    t.equal(again.error ?? wrong, undefined, `${name}, targz-ref and unpacked`);
    referred++;
  }
  t.ok(compared > 60, `${compared} images were compared`);
  t.ok(referred > 14, `${referred} by reference to their layer`);
});

/** What an image that refers to the gzipped tar is unpacked to. */
const throughReference = async (t: Test, tar: Buffer): Promise<Buffer> => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  const layer = gzipSync(tar, { level: 1 });
  fs.writeFileSync(at('layer'), layer);
  fs.mkdirSync(at('blobs'));
  fs.writeFileSync(at(`blobs/${createHash('sha256').update(layer).digest('hex')}`), layer);
  await createImage({
    ...{ type: 'targz-ref', source: at('layer'), bootstrap: at('boot'), blobDir: at('blobs') },
    fsync: false,
  });
  return buffer(imageTar(at('boot'), { blobs: at('blobs') }));
};
