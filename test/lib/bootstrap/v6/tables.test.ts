import t from 'tap';
import { isV6, readTables } from '../../../../lib/bootstrap/v6/tables.js';
import {
  BlobEntry,
  DeviceSlot,
  ExtendedSuperBlock,
  SuperBlock,
  V6,
} from '../../../../lib/layout/rafs-v6.js';
import { failure, golden } from '../../../support/images/golden.js';

const NAME = 'merge.v6';

const superBlock = (field: keyof typeof SuperBlock.offsets): number =>
  V6.SUPER_OFFSET + SuperBlock.offsets[field];
const extended = (field: keyof typeof ExtendedSuperBlock.offsets): number =>
  V6.EXTENDED_OFFSET + ExtendedSuperBlock.offsets[field];
const blob = (field: keyof typeof BlobEntry.offsets, index = 0): number =>
  4096 + index * BlobEntry.size + BlobEntry.offsets[field];

t.test('what the tables say', t => {
  const tables = readTables(golden(NAME));
  t.equal(tables.blobs.length, 3);
  t.equal(tables.chunkSize, 0x100000);
  t.equal(tables.compressor, 'none');
  t.equal(tables.digester, 'blake3');
  t.strictSame(
    tables.blobs.map(({ chunkCount }) => chunkCount),
    [27, 3, 5],
  );
  // device slots follow one another in steps of 512 KiB behind the bootstrap
  t.ok(tables.blobs.every(({ mappedBlkaddr }) => mappedBlkaddr > 0 && mappedBlkaddr % 128 === 0));
  t.strictSame(readTables(golden('prefetch.fs')).prefetch.length, 2);
  t.end();
});

t.test('magic number', t => {
  t.ok(isV6(golden(NAME)));
  t.notOk(isV6(Buffer.alloc(4096)));
  t.notOk(isV6(golden(NAME).subarray(0, 1100)));
  t.end();
});

const CASES: readonly (readonly [string, (image: Buffer) => unknown, RegExp])[] = [
  [
    'checksum',
    image => image.writeUInt32LE(7, superBlock('checksum')),
    /expected checksum 0, got 0x7/,
  ],
  ['block size', image => image.writeUInt8(13, superBlock('blockBits')), /2\^13/],
  ['512 without tarfs', image => image.writeUInt8(9, superBlock('blockBits')), /without the tarfs/],
  ['slots', image => image.writeUInt8(1, superBlock('extSlots')), /slots/],
  ['root', image => image.writeUInt16LE(0, superBlock('rootNid')), /root/],
  ['no inodes', image => image.writeUInt32LE(0, superBlock('inodeCount')), /no inodes/],
  ['inodes', image => image.writeUInt32LE(9999, superBlock('metaBlkaddr')), /inodes begin at/],
  ['incompatible', image => image.writeUInt8(0xd, superBlock('featureIncompat')), /0xd/],
  ['compatible', image => image.writeUInt32LE(0, superBlock('featureCompat')), /compatible/],
  [
    'device count',
    image => image.writeUInt16LE(2, superBlock('extraDevices')),
    /expected \d+ device slots, one for each blob, got 2/,
  ],
  ['many devices', image => image.writeUInt16LE(65535, superBlock('extraDevices')), /overlap/],
  ['device slots', image => image.writeUInt16LE(12, superBlock('devtSlotoff')), /got 12/],
  [
    'two compressors',
    image => image.writeUInt8(0x07, extended('flags')),
    /expected one compressor .*, got 2/,
  ],
  [
    'no digest',
    image => image.writeUInt8(0x11, extended('flags')),
    /expected one digest algorithm .*, got 0/,
  ],
  ['unknown flag', image => image.writeUInt8(0x4, extended('flags') + 1), /unknown bits/],
  ['chunk size', image => image.writeUInt32LE(0x100001, extended('chunkSize')), /0x100001/],
  ['blob table', image => image.writeUInt32LE(4097, extended('blobTableOffset')), /blob table/],
  ['its size', image => image.writeUInt32LE(257, extended('blobTableSize')), /257/],
  ['its end', image => image.writeUInt32LE(256 * 9999, extended('blobTableSize')), /ends at/],
  ['chunk table', image => image.writeUInt32LE(81, extended('chunkTableSize')), /81/],
  ['overlap', image => image.writeUInt32LE(4096, extended('chunkTableOffset')), /overlap/],
  ['far away', image => image.writeUInt32LE(0x100, extended('chunkTableOffset') + 4), /ends at/],
  [
    'blob index',
    image => image.writeUInt32LE(1, blob('blobIndex')),
    /expected blob index 0, got 1/,
  ],
  ['blob chunk size', image => image.writeUInt32LE(4096, blob('chunkSize')), /0x1000/],
  ['blob compressor', image => image.writeUInt32LE(9, blob('compressor')), /compressor 9/],
  ['blob features', image => image.writeUInt32LE(0x40001001, blob('features')), /features/],
  ['unaligned', image => image.writeUInt32LE(0x40000000, blob('features')), /not a tar/],
  ['batch as v1', image => image.writeUInt32LE(0x40000081, blob('features')), /CHUNK_INFO_V2/],
  ['chunk count', image => image.writeUInt32LE(26, blob('chunkCount')), /26 chunks/],
  ['blob id', image => image.write('x', blob('blobId', 2)), /expected blob id 'x/],
  ['same id', image => sameIds(image), /twice/],
  ['id', image => image.fill(0xff, blob('blobId'), blob('blobId') + 64), /UTF-8/],
  ['no blocks', image => image.writeUInt32LE(0, slot('blocks')), /has no blocks/],
  ['cipher', image => image.writeUInt32LE(1, blob('cipher')), /cipher 1/],
];

const slot = (field: keyof typeof DeviceSlot.offsets, index = 0): number =>
  V6.DEVICE_OFFSET + index * DeviceSlot.size + DeviceSlot.offsets[field];

const sameIds = (image: Buffer): void => {
  image.copy(image, blob('blobId', 1), blob('blobId', 0), blob('blobId', 0) + 64);
  image.copy(image, slot('blobId', 1), slot('blobId', 0), slot('blobId', 0) + 64);
};

for (const [name, alter, message] of CASES) {
  t.test(`refuses: ${name}`, t => {
    const image = golden(NAME);
    alter(image);
    t.match(
      failure(() => readTables(image)),
      { code: 'CORRUPT', message },
    );
    t.end();
  });
}
