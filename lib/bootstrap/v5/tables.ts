/** Reads the superblock, inode table, prefetch table and blob tables of a v5 bootstrap. */
import { COMPRESSION_FLAGS } from '../../layout/compressors.js';
import { DIGEST_FLAGS } from '../../layout/rafs.js';
import { isUtf8 } from 'node:buffer';
import type { Bootstrap } from '../bootstrap.js';
import type { BlobRecord, TableExtent } from '../../model/stored.js';
import { alignUp } from '../../layout/align.js';
import { COMPRESSORS, type Compressor } from '../../layout/compressors.js';
import { DIGESTERS, type Digester, NO_DIGEST } from '../../crypto/digest.js';
import { RafsError } from '../../errors.js';
import { BlobFeature } from '../../layout/blob.js';
import {
  BlobHeadV5,
  ExtendedBlobEntryV5,
  InodeV5,
  SuperBlockV5,
  V5,
} from '../../layout/rafs-v5.js';
import { u32, type ValueOf } from '../../layout/struct.js';

export interface TablesV5 {
  flags: number;
  chunkSize: number;
  compressor: Compressor;
  digester: Digester;
  inodeCount: number;
  /** offset of every inode's record in units of 8 bytes, by its index minus 1 */
  offsets8: Uint32Array;
  blobs: BlobRecord[];
  prefetch: number[];
  places: Bootstrap['tables'];
}

const MIN_CHUNK_SIZE = 0x1000;
const MAX_CHUNK_SIZE = 0x100_0000;
const MAX_CHUNK_COUNT = 2 ** 24;
const KNOWN_FEATURES = Object.values(BlobFeature).reduce((sum, bit) => sum + bit, 0);

/** Throws CORRUPT unless `holds`. */
const check = (holds: boolean, message: string, at: Record<string, string | number> = {}): void => {
  if (!holds) throw new RafsError('CORRUPT', message, at);
};

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Whether the bytes start like a v5 bootstrap. */
export const isV5 = (image: Buffer): boolean =>
  image.length >= 2 * u32.size &&
  u32.read(image, SuperBlockV5.offsets.magic) === V5.MAGIC &&
  u32.read(image, SuperBlockV5.offsets.version) === V5.VERSION;

/** Reads and checks everything that lies at a fixed place or in a table. */
export const readTablesV5 = (image: Buffer): TablesV5 => {
  const size = image.length;
  check(
    size > V5.SUPER_SIZE,
    `expected a bootstrap of more than ${V5.SUPER_SIZE} bytes, got ${size}`,
  );
  check(
    size % V5.ALIGN === 0,
    `expected a bootstrap size that is a multiple of ${V5.ALIGN}, got ${size}`,
  );
  if (size > V5.MAX_SIZE) throw new RafsError('LIMIT', `a bootstrap of ${size} bytes is too large`);
  const base = SuperBlockV5.decode(image);
  const { chunkSize, flags } = base;
  check(
    chunkSize >= MIN_CHUNK_SIZE &&
      chunkSize <= MAX_CHUNK_SIZE &&
      Number.isInteger(Math.log2(chunkSize)),
    `invalid chunk size ${hex(chunkSize)}`,
  );
  const places = tablePlaces(image, base);
  // at most one flag of each table is set; old images have none: they use lz4_block and blake3
  const compressor = named(flags, COMPRESSION_FLAGS, 'compressor') ?? 'lz4_block';
  const digester = named(flags, DIGEST_FLAGS, 'digest algorithm') ?? 'blake3';
  return {
    flags,
    chunkSize,
    compressor,
    digester,
    inodeCount: base.inodeCount,
    offsets8: readInodeTable(image, base.inodeTableOffset, base.inodeTableEntries),
    blobs: readBlobs(image, places, base, {
      chunkSize,
      compressor: COMPRESSORS[compressor],
      digester: DIGESTERS[digester],
    }),
    prefetch: readPrefetch(image, places.prefetch, base.inodeTableEntries),
    places: { blob: places.blob, prefetch: places.prefetch, chunk: { offset: 0, size: 0 } },
  };
};

/** The name whose flag is set; old images have none. */
const named = <T extends string>(
  flags: number,
  table: Readonly<Record<T, number>>,
  what: string,
): T | undefined => {
  const set = (Object.keys(table) as T[]).filter(name => flags & table[name]); // its own keys
  check(set.length <= 1, `expected one ${what} in flags ${hex(flags)}, got ${set.length}`);
  return set[0];
};

interface Places {
  inode: TableExtent;
  prefetch: TableExtent;
  blob: TableExtent;
  extended: TableExtent;
}

const tablePlaces = (image: Buffer, base: ValueOf<typeof SuperBlockV5>): Places => {
  const { inodeCount, inodeTableEntries: entries } = base;
  check(entries > 0, 'the image has no inodes');
  check(inodeCount <= entries, `${inodeCount} inodes do not fit in a table of ${entries}`);
  const padded = (count: number): number => alignUp(count * u32.size, V5.ALIGN);
  const places = {
    inode: { offset: base.inodeTableOffset, size: padded(entries) },
    prefetch: { offset: base.prefetchTableOffset, size: padded(base.prefetchTableEntries) },
    blob: { offset: base.blobTableOffset, size: base.blobTableSize },
    extended: {
      offset: base.extendedBlobTableOffset,
      size: base.extendedBlobTableEntries * ExtendedBlobEntryV5.size,
    },
  };
  const used: [string, TableExtent][] = [];
  for (const [name, place] of Object.entries(places)) {
    const { offset, size } = place;
    // old images have no valid offset for an empty table
    if (size === 0 && name !== 'blob') continue;
    const what = `the ${name} table, ${size} bytes at ${offset},`;
    check(offset >= V5.SUPER_SIZE && offset % V5.ALIGN === 0, `${what} has an invalid offset`);
    check(
      offset + size <= image.length,
      `${what} extends past the end of the image at ${image.length}`,
    );
    for (const [other, { offset: start, size: length }] of used) {
      const apart = size === 0 || offset + size <= start || start + length <= offset;
      check(apart, `${what} overlaps the ${other} table`);
    }
    used.push([name, place]);
  }
  return places;
};

/** Offsets of all records; every index has one. */
const readInodeTable = (image: Buffer, offset: number, entries: number): Uint32Array => {
  const offsets8 = new Uint32Array(entries);
  const last = image.length - InodeV5.size;
  for (let i = 0; i < entries; i++) {
    offsets8[i] = u32.read(image, offset + u32.size * i);
    const at = offsets8[i]! * V5.ALIGN;
    if (!(at > V5.SUPER_SIZE && at <= last)) {
      throw new RafsError(
        'CORRUPT',
        `invalid inode offset ${at} in an image of ${image.length} bytes`,
        { inode: i + 1 },
      );
    }
  }
  return offsets8;
};

/** Numbers of the inodes to prefetch; the first 0 ends them. */
const readPrefetch = (image: Buffer, { offset, size }: TableExtent, entries: number): number[] => {
  const inos: number[] = [];
  for (let at = offset; at < offset + size; at += u32.size) {
    const ino = u32.read(image, at);
    if (ino === 0) break;
    check(ino <= entries, `the prefetch table names inode ${ino} of ${entries}`);
    inos.push(ino);
  }
  return inos;
};

const readBlobs = (
  image: Buffer,
  { blob: place, extended }: Places,
  { extendedBlobTableEntries: extendedCount }: ValueOf<typeof SuperBlockV5>,
  shared: Pick<BlobRecord, 'chunkSize' | 'compressor' | 'digester'>,
): BlobRecord[] => {
  const blobs: BlobRecord[] = [];
  const table = image.subarray(place.offset, place.offset + place.size);
  const hasExtended = extended.size > 0;
  const ids = new Set<string>();
  // what is left at the end is padding
  for (let at = 0; table.length - at > V5.ALIGN;) {
    const head = BlobHeadV5.decode(table, at);
    at += BlobHeadV5.size;
    const nul = table.indexOf(0, at);
    const end = nul < 0 ? table.length : nul;
    const id = table.toString('latin1', at, end);
    const index = blobs.length;
    check(id !== '' && isUtf8(Buffer.from(id, 'latin1')), 'the blob id is empty or not UTF-8', {
      blob: index,
    });
    check(!ids.has(id), `blob id '${id}' is used twice`, { blob: index });
    ids.add(id);
    check(
      !hasExtended || index < extendedCount,
      `there are more blobs than the ${extendedCount} of the extended blob table`,
    );
    const more = hasExtended
      ? ExtendedBlobEntryV5.decode(image, extended.offset + index * ExtendedBlobEntryV5.size)
      : { chunkCount: 0, features: 0, uncompressedSize: 0, compressedSize: 0 };
    check(more.chunkCount <= MAX_CHUNK_COUNT, `invalid chunk count ${more.chunkCount}`, {
      blob: index,
    });
    blobs.push({
      index,
      id,
      storedId: id,
      ...shared,
      ...more,
      // like nydus-image, drops unknown features, so that newer images can be read
      features: (more.features & KNOWN_FEATURES) >>> 0,
      uncounted: !hasExtended,
      tocSize: 0,
      tocDigest: NO_DIGEST,
      ciCompressor: COMPRESSORS.none,
      ciOffset: 0,
      ciCompressedSize: 0,
      ciUncompressedSize: 0,
      metaDigest: NO_DIGEST,
      metaSize: 0,
      cipher: 0,
      mappedBlkaddr: 0,
      ...head,
    });
    at = end + 1;
  }
  return blobs;
};
