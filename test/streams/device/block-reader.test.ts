import fc from 'fast-check';
import fs from 'node:fs';
import t from 'tap';
import { blockMap } from '../../../lib/device/block-map.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { BlobFeature } from '../../../lib/layout/blob.js';
import { BlobEntry } from '../../../lib/layout/rafs-v6.js';
import { blockImage, type DiskPart } from '../../../streams/device/block-image.js';
import { openBlockReader } from '../../../streams/device/block-reader.js';
import { readerOf, type ReaderAt } from '../../../streams/io/reader-at.js';
import type { Batch } from '../../../streams/batch.js';
import { altered, golden, goldenBlob } from '../../support/images/golden.js';
import { layerPath, layerTar } from '../../support/tar/layers.js';
import { numbers } from '../../support/random.js';

interface Case {
  image: Buffer;
  blob: Buffer;
  /** of a layer that stays as it is */
  tables?: Buffer;
}

/** Options for both ways to read a device; what is read of the blob is counted. */
const deviceOf = ({ image, blob, tables }: Case) => {
  const bootstrap = parseBootstrap(image);
  const seen = { open: 0, opened: 0, reads: 0, missing: false };
  const opened = async (content: Buffer): Promise<ReaderAt> => {
    if (seen.missing) throw Object.assign(new Error('it is not there'), { code: 'ENOENT' });
    const bytes = readerOf(content, 'blob');
    seen.open += 1;
    seen.opened += 1;
    return {
      size: bytes.size,
      async read(offset, size) {
        seen.reads += 1;
        await new Promise(resolve => setImmediate(resolve)); // as a file would
        return bytes.read(offset, size);
      },
      async close() {
        seen.open -= 1;
      },
    };
  };
  const map = blockMap(bootstrap, image.length);
  const open = () => opened(blob);
  const openTables = () => opened(tables!);
  return { options: { bootstrap, image, map, open, openTables }, seen };
};

const diskOf = async (from: Case): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  for await (const batch of blockImage(deviceOf(from).options) as AsyncIterable<Batch<DiskPart>>) {
    for (const part of batch) {
      pieces.push(part.kind === 'bytes' ? part.bytes : Buffer.alloc(part.size));
    }
  }
  return Buffer.concat(pieces);
};

const native = (name: string): Case => ({
  image: golden(name),
  blob: fs.readFileSync(goldenBlob(name)),
});
const CASES = new Map<string, Case>([
  ...[
    'tar-rafs.kinds.zstd.v6',
    'batch.kinds.zstd',
    'toc.kinds.none',
    'tar-rafs.loose.lz4_block.v6',
    'encrypt.kinds.zstd',
    'encrypt.batch.kinds.lz4_block',
  ].map(name => [name, native(name)] as const),
  ['tarfs.kinds', { image: golden('tarfs.kinds'), blob: layerTar('kinds') }],
  [
    'zran.kinds',
    {
      image: golden('zran.kinds'),
      blob: fs.readFileSync(layerPath('kinds.tar.gz')),
      tables: fs.readFileSync(goldenBlob('zran.kinds')),
    },
  ],
]);

for (const [name, from] of CASES) {
  t.test(`${name}: any range is that of the disk, however little is kept`, async t => {
    const disk = await diskOf(from);
    for (const cacheSize of [0, 5000, 0x4000000]) {
      const { options, seen } = deviceOf(from);
      const device = await openBlockReader({ ...options, cacheSize });
      t.equal(device.size, disk.length);
      t.ok((await device.read(0, disk.length)).equals(disk), 'all of it');
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat(disk.length), fc.nat(0x30000)), { maxLength: 8 }),
          async ranges => {
            // at the same time, as several clients do
            await Promise.all(
              ranges.map(async ([offset, most]) => {
                const size = Math.min(most, disk.length - offset);
                const got = await device.read(offset, size);
                t.ok(got.equals(disk.subarray(offset, offset + size)));
                got.fill(0xaa); // the caller's own
              }),
            );
          },
        ),
        { numRuns: 30 },
      );
      t.ok((await device.read(0, disk.length)).equals(disk), 'all of it again');
      await device.close();
      t.equal(seen.open, 0);
    }
  });
}

t.test('a chunk that is kept is not read again', async t => {
  const from = CASES.get('tar-rafs.kinds.zstd.v6')!;
  const { options, seen } = deviceOf(from);
  const device = await openBlockReader({ ...options, cacheSize: 0x4000000 });
  await device.read(0, device.size);
  const { reads } = seen;
  await device.read(0, device.size);
  t.equal(seen.reads, reads);
  const small = deviceOf(from);
  const other = await openBlockReader({ ...small.options, cacheSize: 0 });
  const { offset } = options.map.blobs[0]!;
  await Promise.all([other.read(offset, 1), other.read(offset, 1), other.read(offset, 1)]);
  t.equal(small.seen.reads, 3, 'table, its header, and one chunk for the three');
  await device.close();
  await other.close();
});

t.test('ranges that are not on the device are the mistake of the caller', async t => {
  const { options } = deviceOf(CASES.get('tarfs.kinds')!);
  const device = await openBlockReader({ ...options, cacheSize: 0 });
  await t.rejects(device.read(device.size, 1), RangeError);
  await t.rejects(device.read(-1, 1), RangeError);
  t.equal((await device.read(device.size, 0)).length, 0);
  await device.close();
});

t.test('a blob is opened when it is read, again if it was not there, and closed', async t => {
  for (const [name, from] of CASES) {
    const { options, seen } = deviceOf(from);
    const device = await openBlockReader({ ...options, cacheSize: 0 });
    const { offset } = options.map.blobs[0]!;
    t.ok((await device.read(0, from.image.length)).equals(from.image), 'without blobs');
    t.equal(seen.opened, 0, name);
    seen.missing = true;
    await t.rejects(device.read(offset, 512), { code: 'ENOENT', at: { blob: /./ } });
    await t.rejects(Promise.all([device.read(offset, 1), device.read(offset, 1)]), {
      code: 'ENOENT',
    });
    seen.missing = false;
    const due = await diskOf(from);
    t.ok((await device.read(offset, 512)).equals(due.subarray(offset, offset + 512)), name);
    t.equal(seen.open, 1, 'kept open, its tables are not');
    const { opened } = seen;
    await device.read(offset, 512);
    t.equal(seen.opened, opened);
    await device.close();
    t.equal(seen.open, 0);
    await device.close();
  }
});

t.test('a blob that does not fit the image is refused and closed', async t => {
  const tar = layerTar('kinds');
  const native = CASES.get('tar-rafs.kinds.zstd.v6')!;
  const zran = CASES.get('zran.kinds')!;
  for (const from of [
    { image: golden('tarfs.kinds'), blob: tar.subarray(512) },
    { ...native, blob: native.blob.subarray(0, native.blob.length - 4096) },
    { ...native, blob: Buffer.alloc(0) },
    { ...zran, tables: zran.tables!.subarray(512) },
  ]) {
    const { options, seen } = deviceOf(from);
    const device = await openBlockReader({ ...options, cacheSize: 0 });
    const { offset } = options.map.blobs[0]!;
    for (let i = 0; i < 2; i++) {
      await t.rejects(device.read(offset, 1), { code: /^(MISMATCH|CORRUPT)$/ });
      t.equal(seen.open, 0);
    }
    await device.close();
  }
});

t.test(
  'a blob that says it is larger than its chunks is refused, as an export of it is',
  async t => {
    const from = CASES.get('tar-rafs.kinds.zstd.v6')!;
    const { offset } = parseBootstrap(from.image).tables.blob;
    const image = Buffer.from(from.image);
    image.writeUInt32LE(1, offset + BlobEntry.offsets.uncompressedSize + 4); // units of 4 GiB
    const { options } = deviceOf({ ...from, image });
    const device = await openBlockReader({ ...options, cacheSize: 0 });
    await t.rejects(device.read(device.size - 4096, 4096), {
      code: 'CORRUPT',
      message: /bytes belong to no chunk/,
    });
    await device.close();
  },
);

t.test('images of which no device can be are refused at once', async t => {
  const { options } = deviceOf(CASES.get('zran.kinds')!);
  const blob = { ...options.bootstrap.blobs[0]!, features: BlobFeature.EXTERNAL };
  const map = { ...options.map, blobs: [{ ...options.map.blobs[0]!, blob }] };
  await t.rejects(openBlockReader({ ...options, map, cacheSize: 0 }), { code: 'UNSUPPORTED' });
});

t.test('of a damaged blob, what is damaged is refused and the rest is right', async t => {
  const from = CASES.get('tar-rafs.kinds.zstd.v6')!;
  const disk = await diskOf(from);
  const next = numbers(3);
  let refused = 0;
  let right = 0;
  for (const blob of altered(from.blob, 60)) {
    const { options } = deviceOf({ ...from, blob });
    const device = await openBlockReader({ ...options, cacheSize: 0x10000 });
    for (let i = 0; i < 40; i++) {
      const offset = next(disk.length - 4096);
      try {
        const got = await device.read(offset, 4096);
        t.ok(got.equals(disk.subarray(offset, offset + 4096)), `${offset}`);
        right++;
      } catch (error) {
        refused++;
        t.match(error, { name: 'RafsError', code: /^(CORRUPT|MISMATCH|UNSUPPORTED|LIMIT)$/ });
      }
    }
    await device.close();
  }
  t.ok(refused > 60 && right > 60, `${refused} refused, ${right} right`);
});

t.test('a damaged bootstrap gives an error or bytes, but nothing else', async t => {
  const from = CASES.get('batch.kinds.zstd')!;
  let read = 0;
  for (const image of altered(from.image, 100)) {
    try {
      const { options } = deviceOf({ ...from, image });
      const device = await openBlockReader({ ...options, cacheSize: 0x10000 });
      await device.read(Math.max(0, device.size - 0x100000), Math.min(device.size, 0x100000));
      t.ok((await device.read(0, image.length)).equals(image));
      await device.close();
      read++;
    } catch (error) {
      t.match(error, { name: 'RafsError', code: /^(CORRUPT|MISMATCH|UNSUPPORTED|LIMIT)$/ });
    }
  }
  t.ok(read > 0 && read < 100, `${read} read`);
});
