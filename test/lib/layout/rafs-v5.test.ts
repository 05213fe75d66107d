import { COMPRESSION_FLAGS } from '../../../lib/layout/compressors.js';
import t from 'tap';
import {
  BlobHeadV5,
  ExtendedBlobEntryV5,
  InodeFlagV5,
  InodeV5,
  SuperBlockV5,
  V5,
  XattrHeadV5,
  XattrPairV5,
} from '../../../lib/layout/rafs-v5.js';
import { SUPER_FLAGS, SuperFlag } from '../../../lib/layout/rafs.js';
import { goldenRecord } from '../../support/images/golden-record.js';

// The bytes are cut from images that nydus-image made of small layers.

t.test('superblock', async t => {
  goldenRecord(
    t,
    SuperBlockV5,
    '53464152' + // magic
      '00050000' +
      '00200000' +
      '00001000' + // chunk size
      '3600000000000000' + // flags
      '1b00000000000000' + // inodes
      '0020000000000000' +
      '7820000000000000' +
      '7820000000000000' +
      '1d000000' + // entries
      '00000000' +
      '48000000' +
      '01000000' +
      'c020000000000000',
    {
      chunkSize: 0x100000,
      flags:
        COMPRESSION_FLAGS.lz4_block +
        SuperFlag.HASH_BLAKE3 +
        SuperFlag.EXPLICIT_UID_GID +
        SuperFlag.HAS_XATTR,
      inodeCount: 27,
      inodeTableOffset: 0x2000,
      prefetchTableOffset: 0x2078,
      blobTableOffset: 0x2078,
      inodeTableEntries: 29,
      prefetchTableEntries: 0,
      blobTableSize: 72,
      extendedBlobTableEntries: 1,
      extendedBlobTableOffset: 0x20c0,
    },
  );
  t.equal(SuperBlockV5.size, V5.SUPER_SIZE);
  t.match(SuperBlockV5.offsets, { chunkSize: 12, inodeTableEntries: 56, reserved: 80 });
});

t.test('every bit of the flags but the named ones is refused', async t => {
  const known = new Set<number>(Object.values(SUPER_FLAGS));
  const good = SuperBlockV5.encode({
    chunkSize: 0x1000,
    flags: 0,
    inodeCount: 1,
    inodeTableOffset: 8192,
    prefetchTableOffset: 0,
    blobTableOffset: 0,
    inodeTableEntries: 1,
    prefetchTableEntries: 0,
    blobTableSize: 0,
    extendedBlobTableEntries: 0,
    extendedBlobTableOffset: 0,
  });
  for (let bit = 0; bit < 64; bit++) {
    good.writeBigUInt64LE(1n << BigInt(bit), 16);
    if (known.has(2 ** bit)) t.equal(SuperBlockV5.decode(good).flags, 2 ** bit);
    else t.throws(() => SuperBlockV5.decode(good), { code: 'CORRUPT', at: { field: 'flags' } });
  }
});

t.test('blob tables', async t => {
  goldenRecord(t, BlobHeadV5, '0000000004000000', { readaheadOffset: 0, readaheadSize: 4 });
  goldenRecord(t, ExtendedBlobEntryV5, '0b000000' + '00000040' + '2388000000000000' + '7f60', {
    chunkCount: 11,
    features: 0x40000000,
    uncompressedSize: 34851,
    compressedSize: 24703,
  });
});

t.test('inode', async t => {
  const digest = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262';
  // the root of an image that has nothing else
  goldenRecord(
    t,
    InodeV5,
    digest +
      '0000000000000000' + // parent
      '0100000000000000' +
      '00000000' +
      '00000000' +
      '00000000' +
      'ed410000' + // mode
      '0010000000000000' +
      '0800000000000000' +
      '0000000000000000' + // flags
      '02000000' + // links
      '02000000' +
      '00000000' +
      '0100' +
      '0000',
    {
      digest: Buffer.from(digest, 'hex'),
      parent: 0,
      ino: 1,
      uid: 0,
      gid: 0,
      projid: 0,
      mode: 0o040755,
      size: 4096,
      blocks: 8,
      flags: 0,
      nlink: 2,
      childIndex: 2,
      childCount: 0,
      nameSize: 1,
      symlinkSize: 0,
      rdev: 0,
      mtimeNsec: 0,
      mtime: 0,
    },
  );
  t.match(InodeV5.offsets, {
    parent: 32,
    ino: 40,
    mode: 60,
    flags: 80,
    nameSize: 100,
    rdev: 104,
    mtime: 112,
  });
  t.same(InodeFlagV5, { SYMLINK: 1, HARDLINK: 2, XATTR: 4, HAS_HOLE: 8 });
});

t.test('xattrs', async t => {
  goldenRecord(t, XattrHeadV5, '2c', { size: 44 });
  goldenRecord(t, XattrPairV5, '28', { size: 40 });
});

t.test('a record cut anywhere is CORRUPT', async t => {
  for (const record of [SuperBlockV5, BlobHeadV5, ExtendedBlobEntryV5, InodeV5, XattrPairV5]) {
    for (const size of [0, 1, record.size - 1]) {
      t.throws(() => record.decode(Buffer.alloc(size)), {
        code: 'CORRUPT',
        at: { record: record.name },
      });
    }
  }
});
