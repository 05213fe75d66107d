import t from 'tap';
import { prepareDigests } from '../../../../lib/crypto/digest.js';
import { isV5, readTablesV5 } from '../../../../lib/bootstrap/v5/tables.js';
import { blobInfo } from '../../../support/images/chunks.js';
import { entryOf } from '../../../support/images/entries.js';
import { golden } from '../../../support/images/golden.js';
import { imageOfV5, written } from '../../../support/images/images-v5.js';

await prepareDigests();

const KINDS = 'tar-rafs.kinds.lz4_block.v5';

t.test('tables of an image that nydus-image made', async t => {
  const tables = readTablesV5(golden(KINDS));
  t.match(tables, {
    flags: 0x36,
    chunkSize: 0x100000,
    compressor: 'lz4_block',
    digester: 'blake3',
    inodeCount: 27,
    prefetch: [],
    places: {
      blob: { offset: 0x2078, size: 72 },
      prefetch: { offset: 0x2078, size: 0 },
      chunk: { offset: 0, size: 0 },
    },
  });
  t.equal(tables.offsets8.length, 29);
  const [blob] = tables.blobs;
  t.match(blob, {
    index: 0,
    id: '6e2703e2c75cf8b276632e99b5f016afc0f0c04b6a6b31a6ecd18c9f13222696',
    chunkSize: 0x100000,
    chunkCount: 11,
    compressor: 1,
    digester: 0,
    features: 0x40000000,
    compressedSize: 24703,
    uncompressedSize: 34851,
    ciUncompressedSize: 0,
    readaheadSize: 0,
    uncounted: false,
  });
  t.same(
    readTablesV5(golden('merge.v5')).blobs.map(({ id, chunkCount }) => [
      id.slice(0, 4),
      chunkCount,
    ]),
    [
      ['cd8b', 27],
      ['69ce', 3],
      ['992c', 5],
    ],
  );
});

t.test('how an image starts', async t => {
  t.equal(isV5(golden(KINDS)), true);
  t.equal(isV5(golden(KINDS).subarray(0, 8)), true);
  t.equal(isV5(golden(KINDS).subarray(0, 7)), false);
  t.equal(isV5(golden('merge.v6')), false);
  t.equal(isV5(Buffer.alloc(8192)), false);
});

t.test('ids of any length, and what is to be read ahead', async t => {
  for (let length = 1; length < 40; length++) {
    const made = imageOfV5([entryOf('file', 'f', { size: 1 })]);
    made.blobs = ['a', 'b', 'c'].map((c, i) =>
      blobInfo({ id: c.repeat(length + i), readaheadSize: i * 7, chunkCount: i }),
    );
    const { blobs } = readTablesV5(written(made));
    t.same(
      blobs.map(({ id, readaheadSize, chunkCount }) => [id, readaheadSize, chunkCount]),
      made.blobs.map(({ id, readaheadSize, chunkCount }) => [id, readaheadSize, chunkCount]),
    );
  }
});

t.test('an image without an extended blob table', async t => {
  const image = golden(KINDS);
  image.writeUInt32LE(0, 68);
  image.writeUInt32LE(0, 72);
  const [blob] = readTablesV5(image).blobs;
  t.match(blob, { uncounted: true, chunkCount: 0, compressedSize: 0, features: 0 });
});

t.test('features that are not known are dropped', async t => {
  const image = golden(KINDS);
  image.writeUInt32LE(0xc000f001, 0x20c4);
  t.equal(readTablesV5(image).blobs[0]!.features, 0x40000001);
});

t.test('images without a compressor or digest algorithm are old', async t => {
  const image = golden(KINDS);
  image.writeUInt32LE(0x10, 16);
  t.match(readTablesV5(image), { compressor: 'lz4_block', digester: 'blake3' });
});

t.test('what makes no sense is CORRUPT', async t => {
  const wrong = (what: string, change: (image: Buffer) => Buffer | void, message: RegExp): void => {
    const image = golden(KINDS);
    const changed = change(image) ?? image;
    t.throws(() => readTablesV5(changed), { name: 'RafsError', code: 'CORRUPT', message }, what);
  };
  const u32 = (at: number, value: number) => (image: Buffer) => void image.writeUInt32LE(value, at);
  wrong('only a superblock', image => image.subarray(0, 8192), /8192 bytes/);
  wrong('odd size', image => image.subarray(0, -4), /multiple of 8/);
  wrong('magic', u32(0, 1), /got 0x1/);
  wrong('version', u32(4, 0x600), /got 0x600/);
  wrong('superblock size', u32(8, 4096), /got 0x1000/);
  wrong('chunk size', u32(12, 0x180000), /chunk size/);
  wrong('small chunks', u32(12, 0x800), /chunk size/);
  wrong('large chunks', u32(12, 0x2000000), /chunk size/);
  wrong('two compressors', u32(16, 0x35 + 0x2), /expected one compressor in flags 0x\w+, got 2/);
  wrong('two digest algorithms', u32(16, 0x3e), /expected one digest algorithm .* got 2/);
  wrong('unknown flag', u32(16, 0x436), /unknown bits/);
  wrong('more inodes than places', u32(24, 30), /30 inodes/);
  wrong('no inodes', u32(56, 0), /no inodes/);
  wrong('many inodes', u32(56, 0xfffffff0), /inode table/);
  wrong('inode table before the end of the superblock', u32(32, 8184), /invalid offset/);
  wrong('inode table at an odd place', u32(32, 8196), /invalid offset/);
  wrong('inode table past the end', u32(32, 14296), /past the end of the image/);
  wrong('blob table past the end', u32(64, 0x10000), /past the end of the image/);
  wrong('blob table in the inode table', u32(48, 0x2070), /overlaps/);
  wrong('extended table in the blob table', u32(72, 0x2080), /overlaps/);
  wrong('prefetch table in the inode table', u32(60, 10), /overlaps/);
  wrong('inode 0', u32(0x2000, 0), /invalid inode offset 0 /);
  wrong('inode in the superblock', u32(0x2000, 1024), /invalid inode offset 8192 /);
  wrong('inode past the end', u32(0x2000, 14296 / 8 - 15), /invalid inode offset 14176 /);
  wrong('inode far away', u32(0x2000, 0xffffffff), /invalid inode offset/);
  wrong('no blob id', u32(0x2080, 0), /blob id/);
  wrong('no UTF-8', u32(0x2080, 0xffffffff), /blob id/);
  wrong('many chunks', u32(0x20c0, 0x1000001), /invalid chunk count 16777217/);
  const merged = golden('merge.v5');
  merged.writeUInt32LE(2, 68);
  t.throws(() => readTablesV5(merged), { code: 'CORRUPT', message: /more blobs than the 2/ });
});

t.test('a prefetch table that leads nowhere', async t => {
  const made = imageOfV5([entryOf('file', 'f', { size: 1 })], { prefetch: ['/f', '/'] });
  const image = written(made);
  t.same(readTablesV5(image).prefetch, [2, 1]);
  const at = image.readUInt32LE(40);
  image.writeUInt32LE(3, at + 4);
  t.throws(() => readTablesV5(image), { code: 'CORRUPT', message: /names inode 3 of 2/ });
  image.writeUInt32LE(0, at);
  t.same(readTablesV5(image).prefetch, [], 'it ends at the first 0');
});
