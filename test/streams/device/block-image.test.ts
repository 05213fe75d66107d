import fs from 'node:fs';
import t, { type Test } from 'tap';
import { blockMap } from '../../../lib/device/block-map.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { BlobEntry } from '../../../lib/layout/rafs-v6.js';
import { digest } from '../../../lib/crypto/digest.js';
import { BlobFeature } from '../../../lib/layout/blob.js';
import { blockImage, type DiskPart } from '../../../streams/device/block-image.js';
import { requireChunkTable } from '../../../streams/read/chunk-info.js';
import { blobReader, type ImagePart } from '../../../streams/read/blob-reader.js';
import { readerOf, type ReaderAt } from '../../../streams/io/reader-at.js';
import type { Batch } from '../../../streams/batch.js';
import { altered, golden, goldenBlob } from '../../support/images/golden.js';
import { layerPath, layerTar } from '../../support/tar/layers.js';

/** @param tables of a layer that stays as it is */
const diskOf = async (
  image: Buffer,
  blobs: readonly Buffer[],
  tables?: Buffer,
): Promise<Buffer> => {
  const bootstrap = parseBootstrap(image);
  const map = blockMap(bootstrap, image.length);
  const open: string[] = [];
  const pieces: Buffer[] = [];
  const opened = (content: Buffer, name: string): Promise<ReaderAt> => {
    const bytes = readerOf(content, name);
    open.push(name);
    const close = (): Promise<void> => Promise.resolve(void open.pop());
    const read: typeof bytes.read = (offset, size) => bytes.read(offset, size);
    return Promise.resolve({ ...bytes, read, close });
  };
  const source = blockImage({
    bootstrap,
    image,
    map,
    open: index => opened(blobs[index]!, `blob ${index}`),
    openTables: index => opened(tables!, `tables ${index}`),
  });
  try {
    for await (const batch of source as AsyncIterable<Batch<DiskPart>>) {
      for (const part of batch) {
        pieces.push(part.kind === 'bytes' ? part.bytes : Buffer.alloc(part.size));
      }
    }
  } finally {
    if (open.length > 0) throw new Error('a blob is open still'); // eslint-disable-line no-unsafe-finally
  }
  const disk = Buffer.concat(pieces);
  if (disk.length !== map.size) throw new Error(`${disk.length} bytes of ${map.size}`);
  return disk;
};

/** Every chunk of the image, unpacked from its blob, lies on the disk where its index says. */
const compareChunks = async (t: Test, image: Buffer, blobs: readonly Buffer[], disk: Buffer) => {
  const bootstrap = parseBootstrap(image);
  const sources = new Map<number, ReaderAt>(
    blobs.map((blob, i) => [i, readerOf(blob, `blob ${i}`)]),
  );
  let count = 0;
  for await (const batch of blobReader({ bootstrap, blobs: sources }) as AsyncIterable<
    Batch<ImagePart>
  >) {
    for (const part of batch) {
      if (part.kind !== 'chunk') continue;
      const { blobIndex, uncompressedOffset } = part.chunk;
      const { mappedBlkaddr } = bootstrap.blobs[blobIndex]!;
      const at = mappedBlkaddr * bootstrap.blockSize + uncompressedOffset;
      t.ok(disk.subarray(at, at + part.bytes.length).equals(part.bytes));
      count++;
    }
  }
  t.ok(count >= 5, `${count} chunks`);
};

const NATIVE = ['tar-rafs.kinds.zstd.v6', 'batch.kinds.zstd', 'toc.kinds.none'];

t.test('chunks of any compressor lie where the image maps them', async t => {
  for (const name of [...NATIVE, 'tar-rafs.loose.lz4_block.v6']) {
    const image = golden(name);
    const blob = fs.readFileSync(goldenBlob(name));
    const disk = await diskOf(image, [blob]);
    t.ok(disk.subarray(0, image.length).equals(image), `${name}: starts with the bootstrap`);
    await compareChunks(t, image, [blob], disk);
  }
});

t.test('a tar is there as it is', async t => {
  const image = golden('tarfs.kinds');
  const tar = layerTar('kinds');
  const disk = await diskOf(image, [tar]);
  const at = parseBootstrap(image).blobs[0]!.mappedBlkaddr * 512;
  t.ok(disk.subarray(at).equals(tar));
  t.ok(disk.subarray(image.length, at).every(byte => byte === 0));
  await t.rejects(diskOf(image, [tar.subarray(512)]), { code: 'MISMATCH' });
  await t.rejects(diskOf(image, [Buffer.concat([tar, Buffer.alloc(512)])]), { code: 'MISMATCH' });
});

t.test('a gzip layer that stays as it is gives what its chunks are', async t => {
  const image = golden('zran.kinds');
  const tables = fs.readFileSync(goldenBlob('zran.kinds'));
  const layer = fs.readFileSync(layerPath('kinds.tar.gz'));
  const disk = await diskOf(image, [layer], tables);
  const bootstrap = parseBootstrap(image);
  const start = bootstrap.blobs[0]!.mappedBlkaddr * 4096;
  let chunks = 0;
  for (const { inode } of walk(bootstrap)) {
    if (inode.type !== 'file') continue;
    for (const { uncompressedOffset, uncompressedSize, digest: due } of bootstrap.chunks(inode)) {
      const at = start + uncompressedOffset;
      t.ok(digest('sha256', disk.subarray(at, at + uncompressedSize)).equals(due));
      chunks++;
    }
  }
  t.ok(chunks > 10, `${chunks} chunks`);
  const damaged = Buffer.from(layer);
  damaged.fill(0, 9000, 9100);
  await t.rejects(diskOf(image, [damaged], tables), { code: /^(CORRUPT|MISMATCH)$/ });
});

t.test('blobs whose chunks no table lists are refused', async t => {
  const [blob] = parseBootstrap(golden('zran.kinds')).blobs;
  t.doesNotThrow(() => requireChunkTable(blob!));
  for (const features of [blob!.features | BlobFeature.EXTERNAL, BlobFeature.SEPARATE]) {
    t.throws(() => requireChunkTable({ ...blob!, features }), { code: 'UNSUPPORTED' });
  }
});

t.test('a damaged blob is refused, or the damage is in nothing that is copied', async t => {
  const name = 'tar-rafs.kinds.zstd.v6';
  const image = golden(name);
  const blob = fs.readFileSync(goldenBlob(name));
  const due = await diskOf(image, [blob]);
  let refused = 0;
  for (const bytes of altered(blob, 120)) {
    try {
      t.ok((await diskOf(image, [bytes])).equals(due));
    } catch (error) {
      refused++;
      t.match(error, { name: 'RafsError', code: /^(CORRUPT|MISMATCH|UNSUPPORTED|LIMIT)$/ });
    }
  }
  t.ok(refused > 60, `${refused} refused`);
});

t.test('a damaged bootstrap gives an error or a disk, but nothing else', async t => {
  const name = 'tar-rafs.kinds.zstd.v6';
  const blob = fs.readFileSync(goldenBlob(name));
  for (const bytes of altered(golden(name), 150)) {
    try {
      const disk = await diskOf(bytes, [blob]);
      t.ok(disk.subarray(0, bytes.length).equals(bytes));
    } catch (error) {
      t.match(error, { name: 'RafsError', code: /^(CORRUPT|MISMATCH|UNSUPPORTED|LIMIT)$/ });
    }
  }
  t.ok([...walk(parseBootstrap(golden(name)))].length > 20, 'the intact one is walked');
});

t.test(
  'a blob that says it is larger than its chunks is refused, and not made of zeros',
  async t => {
    const image = golden('tar-rafs.kinds.zstd.v6');
    const blob = fs.readFileSync(goldenBlob('tar-rafs.kinds.zstd.v6'));
    const at = parseBootstrap(image).tables.blob.offset + BlobEntry.offsets.uncompressedSize;
    for (const high of [0x1, 0xfff]) {
      const lie = Buffer.from(image);
      lie.writeUInt32LE(high, at + 4); // units of 4 GiB
      await t.rejects(diskOf(lie, [blob]), {
        code: 'CORRUPT',
        message: /bytes belong to no chunk/,
      });
    }
    const less = Buffer.from(image);
    less.writeUInt32LE(0x1000, at);
    await t.rejects(diskOf(less, [blob]), { code: /CORRUPT|MISMATCH/ });
  },
);
