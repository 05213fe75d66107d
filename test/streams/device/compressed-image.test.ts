import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { blobReader, type ImagePart } from '../../../streams/read/blob-reader.js';
import type { DiskPart } from '../../../streams/device/block-image.js';
import { compressedImage } from '../../../streams/device/compressed-image.js';
import { readerOf, type ReaderAt } from '../../../streams/io/reader-at.js';
import type { Batch } from '../../../streams/batch.js';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { compress } from '../../../lib/compress/compressors.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { PACKINGS, type PackingName } from '../../../lib/erofs/pclusters.js';
import { CompressedReader } from '../../support/peers/compressed-reader.js';
import { succeed } from '../../support/process/cli.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { altered, golden, goldenBlob } from '../../support/images/golden.js';
import { packingFiles, packingTar } from '../../support/tar/packing-tar.js';

type Blobs = ReadonlyMap<number, ReaderAt>;

const packed = async (
  t: Test,
  bootstrap: Bootstrap,
  blobs: Blobs,
  packing: PackingName,
  workers = 0,
): Promise<Buffer> => {
  const directory = temporaryDirectory(t);
  const pieces: Buffer[] = [];
  let image;
  try {
    image = await compressedImage({ bootstrap, blobs, packing, workers, directory });
    for await (const batch of image.parts as AsyncIterable<Batch<DiskPart>>) {
      for (const part of batch) if (part.kind === 'bytes') pieces.push(part.bytes);
    }
  } finally {
    await image?.close();
    t.same([...fs.readdirSync(directory), ...openBelow(directory)], [], 'nothing is left');
  }
  const bytes = Buffer.concat(pieces);
  t.equal(bytes.length, image.size);
  return bytes;
};

/** The content of every file as blob-reader has it. */
const contentsOf = async (bootstrap: Bootstrap, blobs: Blobs): Promise<Map<string, Buffer>> => {
  const contents = new Map<string, Buffer>();
  let path = '';
  for await (const batch of blobReader({ bootstrap, blobs }) as AsyncIterable<Batch<ImagePart>>) {
    for (const part of batch) {
      if (part.kind === 'entry') {
        path = part.entry.path;
        if (part.entry.type === 'file') contents.set(path, Buffer.alloc(0));
      } else if (part.kind === 'chunk') {
        contents.set(path, Buffer.concat([contents.get(path)!, part.bytes]));
      }
    }
  }
  return contents;
};

/** Whether a piece of a file takes fewer blocks when it is compressed: only then it is. */
const savesBlocks = (content: Buffer, packing: PackingName): boolean => {
  const { compressor, pieceSize } = PACKINGS[packing];
  for (let at = 0; at < content.length; at += pieceSize) {
    const piece = content.subarray(at, at + pieceSize);
    const { length } = compress(compressor, piece) ?? piece;
    if (Math.ceil(length / 4096) < Math.ceil(piece.length / 4096)) return true;
  }
  return false;
};

const native = (name: string): { bootstrap: Bootstrap; blobs: Blobs } => ({
  bootstrap: parseBootstrap(golden(name)),
  blobs: new Map([[0, readerOf(fs.readFileSync(goldenBlob(name)), 'blob')]]),
});

for (const packing of ['lz4', 'zstd'] as const) {
  t.test(`files at every border, ${packing}`, async t => {
    const directory = temporaryDirectory(t);
    const files = packingFiles();
    const tar = path.join(directory, 'tar');
    fs.writeFileSync(tar, packingTar(files));
    const id = 'c'.repeat(64);
    const create = [
      'create',
      '-t',
      'tar-rafs',
      '-B',
      path.join(directory, 'boot'),
      '-D',
      directory,
    ];
    await succeed(t, [...create, '--chunk-size', '0x4000', '--blob-id', id, '-l', 'error', tar]);
    const bootstrap = parseBootstrap(fs.readFileSync(path.join(directory, 'boot')));
    const blob = readerOf(fs.readFileSync(path.join(directory, id)), 'blob');
    const image = await packed(t, bootstrap, new Map([[0, blob]]), packing);
    const reader = new CompressedReader(image);
    const names = new Map(reader.names());
    t.equal(names.size, files.size + 4);
    const layouts = new Set<number>();
    for (const [name, content] of files) {
      const inode = reader.inode(names.get(name)!);
      t.ok(inode.content.equals(content), name);
      layouts.add(inode.layout);
      const kind = name.split('/')[0];
      if (kind === 'random' || content.length <= 4096) t.not(inode.layout, 1, `${name} is plain`);
      if (kind === 'zeros' && content.length > 4096) t.equal(inode.layout, 1, `${name} is packed`);
      // so little text may shrink and need two blocks still
      if (kind === 'words' && content.length > 8192) t.equal(inode.layout, 1, `${name} is packed`);
      const tail = content.length % 4096;
      if (inode.layout !== 1) t.equal(inode.layout, tail > 0 && tail < 3900 ? 2 : 0, name);
      t.equal(inode.layout === 1, savesBlocks(content, packing), `${name}: as its blocks say`);
    }
    t.same([...layouts].sort(), [0, 1, 2]);
    const whole = [...files.values()].reduce((sum, { length }) => sum + length, 0);
    t.ok(image.length < 0.8 * whole, `${image.length} of ${whole}`);
    for (const workers of [1, 3]) {
      const again = await packed(t, bootstrap, new Map([[0, blob]]), packing, workers);
      t.ok(again.equals(image), `the same with ${workers} threads`);
    }
  });

  t.test(`images of both versions and of any compressor, ${packing}`, async t => {
    for (const name of [
      'tar-rafs.kinds.zstd.v6',
      'tar-rafs.kinds.lz4_block.v5',
      'batch.kinds.zstd',
      'tar-rafs.loose.lz4_block.v6',
    ]) {
      const { bootstrap, blobs } = native(name);
      const due = await contentsOf(bootstrap, blobs);
      const reader = new CompressedReader(await packed(t, bootstrap, blobs, packing));
      const names = new Map(reader.names());
      t.ok(due.size > 3, `${due.size} files`);
      for (const [path, content] of due) {
        t.ok(reader.inode(names.get(path)!).content.equals(content), `${name}: ${path}`);
      }
    }
  });
}

t.test('a damaged blob is refused, or the damage is in nothing that a file has', async t => {
  const name = 'tar-rafs.kinds.zstd.v6';
  const { bootstrap, blobs } = native(name);
  const due = await packed(t, bootstrap, blobs, 'lz4');
  let refused = 0;
  for (const bytes of altered(fs.readFileSync(goldenBlob(name)), 60)) {
    try {
      const got = await packed(t, bootstrap, new Map([[0, readerOf(bytes, 'blob')]]), 'lz4');
      t.ok(got.equals(due));
    } catch (error) {
      refused++;
      t.match(error, { name: 'RafsError', code: /^(CORRUPT|MISMATCH|UNSUPPORTED|LIMIT)$/ });
    }
  }
  t.ok(refused > 20, `${refused} refused`);
});

t.test('a damaged bootstrap gives an error or an image, but nothing else', async t => {
  const name = 'tar-rafs.kinds.zstd.v6';
  const { blobs } = native(name);
  let made = 0;
  for (const bytes of altered(golden(name), 80)) {
    try {
      const image = await packed(t, parseBootstrap(bytes), blobs, 'lz4');
      t.equal(image.length % 4096, 0);
      made++;
    } catch (error) {
      t.match(error, { name: 'RafsError', code: /^(CORRUPT|MISMATCH|UNSUPPORTED|LIMIT)$/ });
    }
  }
  t.ok(made > 0 && made < 80, `${made} made`);
});

t.test('a chunk of a blob that is not at hand is missed', async t => {
  const { bootstrap } = native('tar-rafs.kinds.zstd.v6');
  await t.rejects(packed(t, bootstrap, new Map(), 'lz4'), { code: 'MISMATCH' });
});
