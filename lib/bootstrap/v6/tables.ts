/** Reads the superblocks, device slots, blob table and prefetch table of a v6 bootstrap. */
import { COMPRESSION_FLAGS } from '../../layout/compressors.js';
import { DIGEST_FLAGS } from '../../layout/rafs.js';
import { isUtf8 } from 'node:buffer';
import { blobOfEntry } from './blob-entry.js';
import type { Bootstrap } from '../bootstrap.js';
import type { BlobRecord, TableExtent } from '../../model/stored.js';
import { compressorName } from '../../compress/compressors.js';
import type { Compressor } from '../../layout/compressors.js';
import { digesterName, type Digester } from '../../crypto/digest.js';
import { RafsError } from '../../errors.js';
import { BlobFeature, ChunkInfoV1, ChunkInfoV2, INVALID_FEATURES } from '../../layout/blob.js';
import {
  BlobEntry,
  DeviceSlot,
  ExtendedSuperBlock,
  FEATURE_COMPAT,
  FEATURE_INCOMPAT,
  SuperBlock,
  V6,
} from '../../layout/rafs-v6.js';
import { ChunkRecord } from '../../layout/rafs.js';
import { Cipher } from '../../layout/rafs.js';
import { SuperFlag } from '../../layout/rafs.js';
import { hasFlag, u32, type ValueOf } from '../../layout/struct.js';

export interface Tables {
  flags: number;
  chunkSize: number;
  blockSize: number;
  compressor: Compressor;
  digester: Digester;
  inodeCount: number;
  rootNid: number;
  metaOffset: number;
  blobs: BlobRecord[];
  prefetch: number[];
  places: Bootstrap['tables'];
}

const MIN_SIZE = 4096;
const MIN_CHUNK_SIZE = 0x1000;
const MAX_CHUNK_SIZE = 0x100_0000;
const MAX_CHUNK_COUNT = 2 ** 24;
const MAX_UNCOMPRESSED_SIZE = 2 ** 44;
const MAX_COMPRESSED_SIZE = 2 ** 40;

/** Throws CORRUPT unless `holds`. */
const check = (holds: boolean, message: string, at: Record<string, string | number> = {}): void => {
  if (!holds) throw new RafsError('CORRUPT', message, at);
};

const hex = (value: number): string => `0x${value.toString(16)}`;

/** The name whose flag is set; there must be exactly one. */
const oneOf = <T extends string>(
  flags: number,
  table: Readonly<Record<T, number>>,
  what: string,
): T => {
  const set = (Object.keys(table) as T[]).filter(name => flags & table[name]); // its own keys
  const only = set[0];
  if (set.length !== 1 || !only) {
    throw new RafsError(
      'CORRUPT',
      `expected one ${what} in flags ${hex(flags)}, got ${set.length}`,
    );
  }
  return only;
};

const chunkSizeFits = (size: number): boolean =>
  size >= MIN_CHUNK_SIZE && size <= MAX_CHUNK_SIZE && Number.isInteger(Math.log2(size));

/** Whether the bytes start like a v6 bootstrap; only the magic number is checked. */
export const isV6 = (image: Buffer): boolean =>
  image.length >= V6.SUPER_OFFSET + SuperBlock.size &&
  u32.read(image, V6.SUPER_OFFSET) === u32.read(SUPER_MAGIC, 0);
const SUPER_MAGIC = Buffer.from([0xe2, 0xe1, 0xf5, 0xe0]);

/** Reads and checks everything that lies at a fixed place or in a table. */
export const readTables = (image: Buffer): Tables => {
  check(
    image.length >= MIN_SIZE,
    `expected a bootstrap of at least ${MIN_SIZE} bytes, got ${image.length}`,
  );
  const base = SuperBlock.decode(image, V6.SUPER_OFFSET);
  const extended = ExtendedSuperBlock.decode(image, V6.EXTENDED_OFFSET);
  const { blockSize, metaOffset } = checkSuperBlock(image, base, extended.flags);

  const compressor = oneOf(extended.flags, COMPRESSION_FLAGS, 'compressor');
  const digester = oneOf(extended.flags, DIGEST_FLAGS, 'digest algorithm');
  check(chunkSizeFits(extended.chunkSize), `invalid chunk size ${hex(extended.chunkSize)}`);
  const places = tablePlaces(image, base.extraDevices, extended);
  const blobs = readBlobs(image, places.blob, extended.chunkSize, blockSize === 512);
  check(
    blobs.length === base.extraDevices,
    `expected ${blobs.length} device slots, one for each blob, got ${base.extraDevices}`,
  );
  readDevices(image, blobs);

  return {
    flags: extended.flags,
    chunkSize: extended.chunkSize,
    blockSize,
    compressor,
    digester,
    inodeCount: base.inodeCount,
    rootNid: base.rootNid,
    metaOffset,
    blobs,
    prefetch: readPrefetch(image, places.prefetch),
    places,
  };
};

const checkSuperBlock = (image: Buffer, base: ValueOf<typeof SuperBlock>, flags: number) => {
  const at = { record: 'SuperBlock' };
  check(
    base.blockBits === V6.BLOCK_BITS || base.blockBits === V6.TARFS_BLOCK_BITS,
    `invalid block size 2^${base.blockBits}`,
    at,
  );
  const blockSize = 2 ** base.blockBits;
  const tarfs = (flags & SuperFlag.TARTFS_MODE) !== 0;
  check(
    tarfs === (blockSize === 512),
    `block size ${blockSize} is invalid ${tarfs ? 'with' : 'without'} the tarfs flag`,
    at,
  );
  check(
    image.length % blockSize === 0,
    `an image of ${image.length} bytes is not made of whole blocks`,
    at,
  );
  check(base.checksum === 0, `expected checksum 0, got ${hex(base.checksum)}`, at);
  check(base.extSlots === 0, `expected no superblock slots, got ${base.extSlots}`, at);
  check(base.union1 === 0, `expected union1 to be 0, got ${base.union1}`, at);
  check(
    base.xattrBlkaddr === 0,
    `expected no shared xattrs, got some at block ${base.xattrBlkaddr}`,
    at,
  );
  check(base.inodeCount !== 0, 'the image has no inodes', at);
  check(
    base.devtSlotoff === V6.DEVICE_SLOT,
    `expected device slots at slot ${V6.DEVICE_SLOT}, got ${base.devtSlotoff}`,
    at,
  );
  check(
    base.featureIncompat === FEATURE_INCOMPAT,
    `expected incompatible features ${hex(FEATURE_INCOMPAT)}, got ${hex(base.featureIncompat)}`,
    at,
  );
  check(
    hasFlag(base.featureCompat, FEATURE_COMPAT),
    `expected compatible features with ${hex(FEATURE_COMPAT)}, got ${hex(base.featureCompat)}`,
    at,
  );
  // images of old builders have 4096 here
  check(
    base.extraDevices > 0 || base.blocks === 0 || base.blocks === 4096,
    `an image without devices cannot have ${base.blocks} blocks`,
    at,
  );
  check(base.rootNid !== 0, 'invalid root nid 0', at);
  const metaOffset = base.metaBlkaddr * blockSize;
  check(
    metaOffset <= image.length,
    `the inodes begin at ${metaOffset}, past the end of the image at ${image.length}`,
    at,
  );
  return { blockSize, metaOffset };
};

const tablePlaces = (
  image: Buffer,
  deviceCount: number,
  extended: ValueOf<typeof ExtendedSuperBlock>,
): Bootstrap['tables'] => {
  const blob = { offset: extended.blobTableOffset, size: extended.blobTableSize };
  const chunk = { offset: extended.chunkTableOffset, size: extended.chunkTableSize };
  // old images without a table have a size but no offset
  const hasPrefetch = extended.prefetchTableSize > 0 && extended.prefetchTableOffset > 0;
  const prefetch = hasPrefetch
    ? { offset: extended.prefetchTableOffset, size: extended.prefetchTableSize }
    : { offset: 0, size: 0 };

  place(image, blob, { name: 'blob table', unit: 4096, record: BlobEntry.size });
  check(
    V6.DEVICE_OFFSET + deviceCount * DeviceSlot.size <= blob.offset,
    `${deviceCount} device slots overlap the blob table at ${blob.offset}`,
  );
  if (chunk.size > 0) {
    place(image, chunk, { name: 'chunk table', unit: 4096, record: ChunkRecord.size });
    disjoint(chunk, blob, 'chunk table and blob table');
  }
  if (hasPrefetch) {
    place(image, prefetch, { name: 'prefetch table', unit: 8, record: u32.size });
    disjoint(prefetch, blob, 'prefetch table and blob table');
    disjoint(prefetch, chunk, 'prefetch table and chunk table');
  }
  return { blob, chunk, prefetch };
};

const place = (
  image: Buffer,
  { offset, size }: TableExtent,
  { name, unit, record }: { name: string; unit: number; record: number },
): void => {
  check(offset >= MIN_SIZE && offset % unit === 0, `invalid offset ${offset} of the ${name}`);
  check(size % record === 0, `a ${name} of ${size} bytes does not consist of records of ${record}`);
  check(
    offset + size <= image.length,
    `the ${name} ends at ${offset + size}, past the end of the image at ${image.length}`,
  );
};

const disjoint = (a: TableExtent, b: TableExtent, what: string): void => {
  const apart = a.size === 0 || b.size === 0;
  check(apart || a.offset + a.size <= b.offset || b.offset + b.size <= a.offset, `${what} overlap`);
};

const readBlobs = (
  image: Buffer,
  { offset, size }: TableExtent,
  chunkSize: number,
  tarfs: boolean,
): BlobRecord[] => {
  const blobs: BlobRecord[] = [];
  for (let i = 0; i < size / BlobEntry.size; i++) {
    const entry = BlobEntry.decode(image, offset + i * BlobEntry.size);
    checkBlob(entry, i, chunkSize, tarfs);
    blobs.push({
      index: i,
      ...blobOfEntry(entry),
      storedId: entry.blobId,
      cipher: entry.cipher,
      mappedBlkaddr: 0,
      readaheadOffset: 0,
      readaheadSize: 0,
    });
  }
  return blobs;
};

const checkBlob = (
  entry: ValueOf<typeof BlobEntry>,
  index: number,
  chunkSize: number,
  tarfs: boolean,
): void => {
  const at = { record: 'BlobEntry', blob: index };
  const { features } = entry;
  const has = (feature: number): boolean => (features & feature) !== 0;
  check(
    isUtf8(Buffer.from(entry.blobId, 'latin1')) && entry.blobId !== '',
    'the blob id is empty or not UTF-8',
    at,
  );
  check(entry.blobIndex === index, `expected blob index ${index}, got ${entry.blobIndex}`, at);
  check(
    entry.chunkSize === chunkSize,
    `expected chunk size ${hex(chunkSize)}, got ${hex(entry.chunkSize)}`,
    at,
  );
  check(entry.chunkCount <= MAX_CHUNK_COUNT, `invalid chunk count ${entry.chunkCount}`, at);
  compressorName(entry.compressor);
  compressorName(entry.ciCompressor);
  digesterName(entry.digester);
  if (entry.cipher !== Cipher.NONE && entry.cipher !== Cipher.AES_128_XTS) {
    throw new RafsError('UNSUPPORTED', `unsupported cipher ${entry.cipher}`, at);
  }
  check((features & INVALID_FEATURES) === 0, `invalid features ${hex(features)}`, at);
  check(
    has(BlobFeature.ALIGNED) === !tarfs,
    `features ${hex(features)} do not suit a blob that is ${tarfs ? '' : 'not '}a tar`,
    at,
  );
  check(
    entry.uncompressedSize <= MAX_UNCOMPRESSED_SIZE,
    `invalid uncompressed size ${entry.uncompressedSize}`,
    at,
  );
  check(
    entry.compressedSize <= MAX_COMPRESSED_SIZE,
    `invalid compressed size ${entry.compressedSize}`,
    at,
  );
  check(
    has(BlobFeature.ENCRYPTED) === (entry.cipher !== Cipher.NONE),
    `features ${hex(features)} do not suit cipher ${entry.cipher}`,
    at,
  );
  if (has(BlobFeature.ENCRYPTED)) {
    const key = entry.metaDigest;
    check(!key.subarray(0, 16).equals(key.subarray(16)), 'the halves of the key are equal', at);
  }
  checkChunkInfo(entry, at);
};

/** Checks the sizes of the CI table against the number of chunks. */
const checkChunkInfo = (
  entry: ValueOf<typeof BlobEntry>,
  at: Record<string, string | number>,
): void => {
  const { features, chunkCount, ciCompressedSize, ciUncompressedSize } = entry;
  const sizes = `a CI table of ${ciCompressedSize} bytes, ${ciUncompressedSize} uncompressed,`;
  const what = `${sizes} does not suit ${chunkCount} chunks`;
  check(Number.isSafeInteger(entry.ciOffset + ciCompressedSize), what, at);
  check(ciCompressedSize <= ciUncompressedSize || !!(features & BlobFeature.ENCRYPTED), what, at);
  const special = BlobFeature.BATCH | BlobFeature.ZRAN | BlobFeature.ENCRYPTED;
  if (features & BlobFeature.CHUNK_INFO_V2) {
    const tableSize = chunkCount * ChunkInfoV2.size;
    check(
      features & special ? ciUncompressedSize >= tableSize : ciUncompressedSize === tableSize,
      what,
      at,
    );
    return;
  }
  check((features & special) === 0, `features ${hex(features)} require CHUNK_INFO_V2`, at);
  const loose = BlobFeature.IS_CHUNKDICT_GENERATED | BlobFeature.TARFS | BlobFeature.EXTERNAL;
  if (features & loose) return;
  check(ciUncompressedSize === chunkCount * ChunkInfoV1.size, what, at);
};

/** Device slot i belongs to blob i: it has the same id, and says where the blob is mapped. */
const readDevices = (image: Buffer, blobs: BlobRecord[]): void => {
  const ids = new Set<string>();
  for (const blob of blobs) {
    const at = { record: 'DeviceSlot', blob: blob.index };
    const slot = DeviceSlot.decode(image, V6.DEVICE_OFFSET + blob.index * DeviceSlot.size);
    check(slot.blobId === blob.id, `expected blob id '${blob.id}', got '${slot.blobId}'`, at);
    check(slot.blocks > 0, 'the device has no blocks', at);
    check(!ids.has(slot.blobId), `blob id '${slot.blobId}' is used twice`, at);
    ids.add(slot.blobId);
    blob.mappedBlkaddr = slot.mappedBlkaddr;
  }
};

/** Nids of the inodes to prefetch; the first 0 ends them. */
const readPrefetch = (image: Buffer, { offset, size }: TableExtent): number[] => {
  const nids: number[] = [];
  for (let at = offset; at < offset + size; at += u32.size) {
    const nid = u32.read(image, at);
    if (nid === 0) break;
    nids.push(nid);
  }
  return nids;
};
