import { COMPRESSION_FLAGS } from '../../../lib/layout/compressors.js';
import fc from 'fast-check';
import t from 'tap';
import {
  BlobEntry,
  CHUNK_FORMAT_INDEXES,
  ChunkIndexEntry,
  CompactInode,
  DeviceSlot,
  Dirent,
  ExtendedInode,
  ExtendedSuperBlock,
  FEATURE_COMPAT,
  FEATURE_INCOMPAT,
  FileType,
  InodeLayout,
  SuperBlock,
  V6,
  XattrEntry,
  XattrHeader,
} from '../../../lib/layout/rafs-v6.js';
import { ChunkFlag, ChunkRecord } from '../../../lib/layout/rafs.js';
import { XATTR_PREFIXES } from '../../../lib/layout/rafs.js';
import { SUPER_FLAGS, SuperFlag } from '../../../lib/layout/rafs.js';
import { goldenRecord } from '../../support/images/golden-record.js';

// The bytes are cut from images that nydus-image made of small layers.

const BLOB_ID = 'f10821a0debed1537c72937bcaaa1200dc50e7117b2353b66abdfe4025a2309d';
const hexOf = (text: string): string => Buffer.from(text, 'latin1').toString('hex');
const zeros = (size: number): Buffer => Buffer.alloc(size);

t.test('superblock', async t => {
  goldenRecord(
    t,
    SuperBlock,
    'e2e1f5e0' + // magic
      '00000000' +
      '00000040' + // compatible features
      '0c00' + // bits of a block
      '8000' + // nid of the root
      '1d00000000000000' + // inodes
      '0000000000000000' +
      '00000000' +
      '12000000' + // blocks
      '02000000' + // block of the inodes
      '00000000' +
      '00'.repeat(32) +
      '0c000000' + // incompatible features
      '0000' +
      '0100' + // devices
      '0b00', // slot of the device table
    {
      checksum: 0,
      featureCompat: FEATURE_COMPAT,
      blockBits: 12,
      extSlots: 0,
      rootNid: 128,
      inodeCount: 29,
      buildTime: 0,
      buildTimeNsec: 0,
      blocks: 18,
      metaBlkaddr: 2,
      xattrBlkaddr: 0,
      uuid: zeros(16),
      volumeName: zeros(16),
      featureIncompat: FEATURE_INCOMPAT,
      union1: 0,
      extraDevices: 1,
      devtSlotoff: 11,
    },
  );
  t.match(SuperBlock.offsets, {
    magic: 0,
    featureCompat: 8,
    blockBits: 12,
    rootNid: 14,
    blocks: 36,
    metaBlkaddr: 40,
    uuid: 48,
    featureIncompat: 80,
    extraDevices: 86,
    devtSlotoff: 88,
  });
});

t.test('where the head of an image has its tables', async t => {
  t.equal(V6.SUPER_OFFSET + SuperBlock.size, V6.EXTENDED_OFFSET);
  t.equal(V6.EXTENDED_OFFSET + ExtendedSuperBlock.size, V6.DEVICE_OFFSET);
  t.equal(V6.DEVICE_OFFSET, V6.DEVICE_SLOT * DeviceSlot.size);
});

t.test('extended superblock', async t => {
  goldenRecord(
    t,
    ExtendedSuperBlock,
    '3500000100000000' +
      '0010000000000000' +
      '00010000' +
      '00001000' +
      '0040000000000000' +
      '7003000000000000',
    {
      flags:
        COMPRESSION_FLAGS.none +
        SuperFlag.HASH_BLAKE3 +
        SuperFlag.EXPLICIT_UID_GID +
        SuperFlag.HAS_XATTR +
        SuperFlag.ENCRYPTION_NONE,
      blobTableOffset: 0x1000,
      blobTableSize: 256,
      chunkSize: 0x100000,
      chunkTableOffset: 0x4000,
      chunkTableSize: 11 * ChunkRecord.size,
      prefetchTableOffset: 0,
      prefetchTableSize: 0,
    },
  );
  t.match(ExtendedSuperBlock.offsets, {
    blobTableOffset: 8,
    chunkSize: 20,
    chunkTableOffset: 24,
    prefetchTableOffset: 40,
    prefetchTableSize: 48,
  });
});

t.test('every bit of the superblock flags but the named ones is refused', async t => {
  const known = new Set<number>(Object.values(SUPER_FLAGS));
  for (let bit = 0; bit < 64; bit++) {
    const buf = zeros(ExtendedSuperBlock.size);
    buf.writeBigUInt64LE(1n << BigInt(bit));
    if (known.has(2 ** bit)) t.equal(ExtendedSuperBlock.decode(buf).flags, 2 ** bit);
    else {
      t.throws(() => ExtendedSuperBlock.decode(buf), {
        code: 'CORRUPT',
        at: { record: 'ExtendedSuperBlock', field: 'flags', offset: 0 },
      });
    }
  }
});

t.test('device slot', async t => {
  goldenRecord(t, DeviceSlot, `${hexOf(BLOB_ID)}1200000080`, {
    blobId: BLOB_ID,
    blocks: 18,
    mappedBlkaddr: 128,
  });
  t.match(DeviceSlot.offsets, { blobId: 0, blocks: 64, mappedBlkaddr: 68 });
});

t.test('blob entry', async t => {
  const id = '651544790816dd83e51c00e453be43c834d954d44883833d6ac5dc5fdcb18861';
  const tocDigest = '3a3c4756e1a86f6af36e790c964ec4fd241f26b6e87a916173aa08acd62a8c39';
  goldenRecord(
    t,
    BlobEntry,
    hexOf(id) +
      '00000000' +
      '00001000' + // chunk size
      '0b000000' + // chunks
      '00000000' +
      '00000000' +
      '21000070' + // features
      '33a4000000000000' + // compressed size
      '0020010000000000' + // uncompressed size
      '00040000' + // TOC
      '00000000' +
      '238a000000000000' + // CI table
      'b000000000000000' +
      'b000000000000000' +
      tocDigest,
    {
      blobId: id,
      blobIndex: 0,
      chunkSize: 0x100000,
      chunkCount: 11,
      compressor: 0,
      digester: 0,
      features: 0x70000021,
      compressedSize: 42035,
      uncompressedSize: 73728,
      tocSize: 1024,
      ciCompressor: 0,
      ciOffset: 35363,
      ciCompressedSize: 176,
      ciUncompressedSize: 176,
      tocDigest: Buffer.from(tocDigest, 'hex'),
      metaDigest: zeros(32),
      metaSize: zeros(8),
      cipherIv: zeros(8),
      cipher: 0,
    },
  );
  // of a blob that refers to a gzip layer: the digest and the size of its blob meta
  const zran = Buffer.from(
    '3662303939396331313064666233376163386134326566383665396365376131643132313032353031343762366538663733393234616135386561353536656600000000000010000b00000002000000010000001d0000408d61000000000000002001000000000000000000030000000000000000000000b20000000000000030010000000000000000000000000000000000000000000000000000000000000000000000000000b67e1a50be3cd9f7860c4a438ffb790b9635adbc38946443c3edb45aa61b35fab210'.padEnd(
      512,
      '0',
    ),
    'hex',
  );
  t.match(BlobEntry.decode(zran), {
    blobId: '6b0999c110dfb37ac8a42ef86e9ce7a1d1210250147b6e8f73924aa58ea556ef',
    compressor: 2,
    digester: 1,
    features: 0x4000001d,
    compressedSize: 24973,
    ciCompressor: 3,
    ciCompressedSize: 178,
    ciUncompressedSize: 304,
    metaDigest: Buffer.from(
      'b67e1a50be3cd9f7860c4a438ffb790b9635adbc38946443c3edb45aa61b35fa',
      'hex',
    ),
    metaSize: Buffer.from('b210000000000000', 'hex'),
  });
  t.match(BlobEntry.offsets, {
    blobIndex: 64,
    features: 84,
    compressedSize: 88,
    ciOffset: 112,
    tocDigest: 136,
    metaDigest: 168,
    metaSize: 200,
    cipherIv: 208,
    cipher: 216,
  });
});

t.test('inodes', async t => {
  goldenRecord(
    t,
    ExtendedInode,
    '05000000ed410000' +
      '7300000000000000' +
      '0300000001000000' +
      '0000000000000000' +
      '805abb6400000000' +
      '0000000007',
    {
      format: 1 + 2 * InodeLayout.FLAT_INLINE,
      xattrIcount: 0,
      mode: 0o040755,
      size: 115,
      union1: 3,
      ino: 1,
      uid: 0,
      gid: 0,
      mtime: 1690000000,
      mtimeNsec: 0,
      nlink: 7,
    },
  );
  // a file with an xattr
  goldenRecord(
    t,
    ExtendedInode,
    '09000a00ed81000088130000000000002800000016000000000000000000000000f15365000000000000000001',
    {
      format: 1 + 2 * InodeLayout.CHUNK_BASED,
      xattrIcount: 10,
      mode: 0o100755,
      size: 5000,
      union1: CHUNK_FORMAT_INDEXES + 8,
      ino: 22,
      uid: 0,
      gid: 0,
      mtime: 1700000000,
      mtimeNsec: 0,
      nlink: 1,
    },
  );
  t.match(ExtendedInode.offsets, {
    xattrIcount: 2,
    mode: 4,
    size: 8,
    union1: 16,
    ino: 20,
    uid: 24,
    mtime: 32,
    nlink: 44,
  });
  // never written by nydus-image: the kernel's struct erofs_inode_compact
  goldenRecord(
    t,
    CompactInode,
    '0400' +
      '0100' +
      'a481' +
      '0200' +
      '78563412' +
      '00000000' +
      '03000000' +
      '07000000' +
      'e803' +
      'e903',
    {
      format: 2 * InodeLayout.FLAT_INLINE,
      xattrIcount: 1,
      mode: 0o100644,
      nlink: 2,
      size: 0x12345678,
      union1: 3,
      ino: 7,
      uid: 1000,
      gid: 1001,
    },
  );
});

t.test('xattrs', async t => {
  goldenRecord(t, XattrHeader, '', { sharedCount: 0 });
  goldenRecord(t, XattrEntry, '0a061400', { nameSize: 10, nameIndex: 6, valueSize: 20 });
  t.same(Object.fromEntries(XATTR_PREFIXES), {
    'user.': 1,
    'system.posix_acl_access': 2,
    'system.posix_acl_default': 3,
    'trusted.': 4,
    'security.': 6,
  });
});

t.test('directory entry', async t => {
  goldenRecord(t, Dirent, '890000000000000066000200', {
    nid: 137,
    nameOffset: 102,
    fileType: FileType.DIRECTORY,
  });
  t.match(Dirent.offsets, { nid: 0, nameOffset: 8, fileType: 10 });
});

t.test('chunk index entry: the index in two pieces around the device', async t => {
  goldenRecord(t, ChunkIndexEntry, '0100010001000000', {
    chunkIndexLow: 1,
    deviceId: 1,
    chunkIndexHigh: 0,
    blkaddr: 1,
  });
  fc.assert(
    fc.property(fc.nat(0xffffff), fc.nat(0xff), fc.nat(0x7fffffff), (index, deviceId, blkaddr) => {
      const buf = ChunkIndexEntry.encode({
        chunkIndexLow: index & 0xffff,
        deviceId,
        chunkIndexHigh: index >>> 16,
        blkaddr,
      });
      // as nydusd reads it: two words of 16 bits and one of 32
      const word = buf.readUInt16LE(2);
      return (
        buf.readUInt16LE(0) + (word >>> 8) * 0x10000 === index &&
        (word & 0xff) === deviceId &&
        buf.readUInt32LE(4) === blkaddr
      );
    }),
  );
});

t.test('chunk record', async t => {
  const digest = '04a82967b9fb9a75d1294230c73e70f86f3ecbf83db6a7b89f44346ebcc9c305';
  goldenRecord(
    t,
    ChunkRecord,
    digest +
      '00000000' +
      '10000000' +
      '204e0000' +
      '204e0000' +
      '2a00000000000000' +
      '0020000000000000' +
      '0000000000000000' +
      '02000000' +
      'b8e75cf7',
    {
      digest: Buffer.from(digest, 'hex'),
      blobIndex: 0,
      flags: ChunkFlag.HAS_CRC32,
      compressedSize: 20000,
      uncompressedSize: 20000,
      compressedOffset: 42,
      uncompressedOffset: 8192,
      fileOffset: 0,
      index: 2,
      crc32: 0xf75ce7b8,
    },
  );
});

t.test('a record cut anywhere is CORRUPT', async t => {
  for (const record of [
    SuperBlock,
    ExtendedSuperBlock,
    DeviceSlot,
    BlobEntry,
    ExtendedInode,
    CompactInode,
    Dirent,
    XattrHeader,
    XattrEntry,
    ChunkIndexEntry,
    ChunkRecord,
  ]) {
    for (const size of [0, 1, record.size - 1]) {
      t.throws(() => record.decode(zeros(size)), {
        code: 'CORRUPT',
        at: { record: record.name, offset: 0 },
      });
    }
  }
});
