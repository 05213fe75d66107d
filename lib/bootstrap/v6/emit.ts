/** The bytes of a planned v6 bootstrap, front to back. */
import { allocate } from '../../memory/allocate.js';
import { alignUp } from '../../layout/align.js';
import { inodeSize, type PlanV6 } from './plan.js';
import { blobEntryOf } from './blob-entry.js';
import { encodeDirents } from './dirent-writer.js';
import { RafsError } from '../../errors.js';
import {
  BlobEntry,
  CHUNK_FORMAT_INDEXES,
  ChunkIndexEntry,
  DeviceSlot,
  ExtendedInode,
  ExtendedSuperBlock,
  FEATURE_COMPAT,
  FEATURE_INCOMPAT,
  InodeLayout,
  SuperBlock,
  V6,
} from '../../layout/rafs-v6.js';
import { ChunkRecord } from '../../layout/rafs.js';
import { u32 } from '../../layout/struct.js';
import { windows, WINDOW, type Put } from '../../memory/windows.js';

export function* emitV6(plan: PlanV6): Iterable<Buffer> {
  yield head(plan);
  yield* behindHead(plan);
}

/** All but the first piece, which alone contains ids of blobs. */
export function* behindHead(plan: PlanV6): Iterable<Buffer> {
  yield* inodes(plan);
  yield* chunkRecords(plan);
}

/** What precedes the inodes: superblocks, device slots, blob and prefetch tables, hole block. */
export const head = (plan: PlanV6): Buffer => {
  const { blobs, blockSize, metaOffset } = plan;
  const buf = Buffer.alloc(metaOffset + V6.META_ALIGN);
  SuperBlock.encodeInto(buf, V6.SUPER_OFFSET, {
    checksum: 0,
    featureCompat: FEATURE_COMPAT,
    blockBits: Math.log2(blockSize),
    extSlots: 0,
    rootNid: plan.offset[0]! / V6.SLOT_SIZE,
    inodeCount: plan.inodeCount,
    buildTime: 0,
    buildTimeNsec: 0,
    blocks: blobs.reduce((sum, blob) => sum + Math.floor(blob.uncompressedSize / blockSize), 0),
    metaBlkaddr: metaOffset / blockSize,
    xattrBlkaddr: 0,
    uuid: Buffer.alloc(16),
    volumeName: Buffer.alloc(16),
    featureIncompat: FEATURE_INCOMPAT,
    union1: 0,
    extraDevices: blobs.length,
    devtSlotoff: V6.DEVICE_SLOT,
  });
  const prefetchSize = 4 * plan.prefetchNids.length;
  ExtendedSuperBlock.encodeInto(buf, V6.EXTENDED_OFFSET, {
    flags: plan.flags,
    blobTableOffset: plan.blobTableOffset,
    blobTableSize: BlobEntry.size * blobs.length,
    chunkSize: plan.chunkSize,
    chunkTableOffset: plan.chunkTableOffset,
    chunkTableSize: ChunkRecord.size * plan.chunkOrder.length,
    prefetchTableOffset: prefetchSize === 0 ? 0 : plan.prefetchOffset,
    prefetchTableSize: prefetchSize,
  });
  blobs.forEach((blob, i) => {
    DeviceSlot.encodeInto(buf, V6.DEVICE_OFFSET + i * DeviceSlot.size, {
      blobId: blob.id,
      blocks: Math.floor(blob.uncompressedSize / blockSize),
      mappedBlkaddr: plan.mappedBlkaddrs[i]!,
    });
    BlobEntry.encodeInto(buf, plan.blobTableOffset + i * BlobEntry.size, blobEntryOf(blob, i));
  });
  plan.prefetchNids.forEach((nid, i) => u32.write(buf, plan.prefetchOffset + 4 * i, nid));
  return buf;
};

/**
 * The inodes, each with what follows it, and the data blocks of directories and symlinks. Inodes
 * fill the tails of earlier blocks, so they are sorted into windows first. An inode is written once, with the attributes of its last name, as if each had overwritten the one before.
 */
function* inodes(plan: PlanV6): Iterable<Buffer> {
  const { tree, order, offset, dataOffset, metaOffset } = plan;
  const lastName = new Uint32Array(tree.sourceCount);
  for (const row of order) lastName[tree.source.get(row)] = row;
  yield* windows({
    // relative to metaOffset, where the first inode lies
    start: V6.META_ALIGN,
    end: plan.chunkTableOffset - metaOffset,
    // twice the row, plus one for data
    each(visit) {
      for (const row of order) {
        if (lastName[tree.source.get(row)] !== row) continue;
        visit(offset[row]!, row * 2);
        if (hasBlocks(plan, row)) visit(dataOffset[row]!, row * 2 + 1);
      }
    },
    write(item, from, window, put) {
      const row = Math.floor(item / 2);
      if (item % 2 === 1) put(dataOffset[row]! - from, blocks(plan, row));
      else encodeInode(plan, row, window, offset[row]! - from, put);
    },
  });
}

/** Whether a row is a directory or symlink with whole blocks of data apart from its inode. */
const hasBlocks = (plan: PlanV6, row: number): boolean =>
  (plan.tree.isType(row, 'directory') || plan.tree.isType(row, 'symlink')) &&
  (plan.layout[row] === InodeLayout.FLAT_PLAIN || plan.tree.size.get(row) >= plan.blockSize);

/** All data of a directory or symlink. */
const flatData = (plan: PlanV6, row: number): Buffer => {
  const { tree, blockSize } = plan;
  if (tree.isType(row, 'symlink')) return Buffer.from(tree.target(row), 'latin1');
  const start = plan.childStart[row]!;
  const children = plan.children.subarray(start, start + plan.childCount[row]!);
  const nidOf = (child: number): number => plan.offset[child]! / V6.SLOT_SIZE;
  return encodeDirents(tree, row, children, blockSize, tree.size.get(row), nidOf);
};

/** The part of a directory's or symlink's data that lies in blocks of its own. */
const blocks = (plan: PlanV6, row: number): Buffer => {
  const data = flatData(plan, row);
  if (plan.layout[row] === InodeLayout.FLAT_PLAIN) return data;
  return data.subarray(0, data.length - (data.length % plan.blockSize));
};

/** Writes an inode with its xattrs and its chunk index array or inline tail. */
const encodeInode = (plan: PlanV6, row: number, window: Buffer, at: number, put: Put): void => {
  const { tree } = plan;
  const area = plan.xattrAreas[tree.xattrs.get(row)];
  const isize = inodeSize(area);
  const isFile = tree.isType(row, 'file');
  const tail =
    plan.layout[row] === InodeLayout.FLAT_INLINE
      ? flatData(plan, row).subarray(-(tree.size.get(row) % plan.blockSize))
      : undefined;
  const indexAt = alignUp(isize, ChunkIndexEntry.size);
  const count = isFile ? tree.chunkCount.get(row) : 0;
  const size = count > 0 ? indexAt + count * ChunkIndexEntry.size : isize + (tail?.length ?? 0);
  const fits = at + size <= window.length;
  const buf = fits ? window : Buffer.alloc(size);
  const base = fits ? at : 0;

  ExtendedInode.encodeInto(buf, base, {
    format: 1 + 2 * plan.layout[row]!,
    xattrIcount: area ? area.icount : 0,
    mode: tree.mode.get(row),
    size: tree.size.get(row),
    union1: union1(plan, row),
    ino: plan.ino[row]!,
    uid: tree.uid.get(row),
    gid: tree.gid.get(row),
    mtime: tree.mtime.get(row),
    mtimeNsec: tree.mtimeNsec.get(row),
    nlink: plan.nlink[row]!,
  });
  area?.bytes.copy(buf, base + ExtendedInode.size);
  tail?.copy(buf, base + isize);
  for (let i = 0; i < count; i++) {
    encodeChunkIndex(plan, row, i, buf, base + indexAt + i * ChunkIndexEntry.size);
  }
  if (!fits) put(at, buf);
};

/** The value of the inode's union: by type, the first data block, chunk format or device number. */
const union1 = (plan: PlanV6, row: number): number => {
  const { tree, blockSize } = plan;
  if (tree.isType(row, 'directory') || tree.isType(row, 'symlink')) {
    return Math.floor((plan.metaOffset + plan.dataOffset[row]!) / blockSize);
  }
  if (!tree.isType(row, 'file')) return tree.rdev.get(row);
  let chunkBits = bitsOf(plan.chunkSize);
  // a file that lies in one run is a single chunk, which the kernel sees as one extent
  if (tree.size.get(row) > plan.chunkSize && isContiguous(plan, row)) {
    chunkBits = Math.ceil(Math.log2(tree.size.get(row)));
  }
  return CHUNK_FORMAT_INDEXES | (chunkBits - bitsOf(blockSize));
};

/** The exponent of a power of two below 2^32. */
const bitsOf = (power: number): number => 31 - Math.clz32(power);

const isContiguous = ({ tree, chunks, chunkSize }: PlanV6, row: number): boolean => {
  const first = tree.firstChunk.get(row);
  for (let i = 1; i < tree.chunkCount.get(row); i++) {
    const before = chunks.lists.get(first + i - 1);
    const chunk = chunks.lists.get(first + i);
    const due = chunks.uncompressedOffset.get(before) + chunkSize;
    if (chunks.blobIndex.get(before) !== chunks.blobIndex.get(chunk)) return false;
    if (chunks.uncompressedOffset.get(chunk) !== due) return false;
  }
  return true;
};

const encodeChunkIndex = (plan: PlanV6, row: number, i: number, buf: Buffer, at: number): void => {
  const { chunks } = plan;
  const chunk = chunks.lists.get(plan.tree.firstChunk.get(row) + i);
  const index = chunks.index.get(chunk);
  if (index > V6.MAX_CHUNK_INDEX)
    throw new RafsError('LIMIT', `chunk index ${index} is too large for the format`);
  ChunkIndexEntry.encodeInto(buf, at, {
    chunkIndexLow: index & 0xffff,
    deviceId: chunks.blobIndex.get(chunk) + 1,
    chunkIndexHigh: index >>> 16,
    blkaddr: chunks.uncompressedOffset.get(chunk) / plan.blockSize,
  });
};

function* chunkRecords({ chunks, chunkOrder, chunkFileOffset, ...plan }: PlanV6): Iterable<Buffer> {
  const perPiece = Math.floor(WINDOW / ChunkRecord.size);
  const total = plan.size - plan.chunkTableOffset;
  let made = 0;
  for (let from = 0; from < chunkOrder.length; from += perPiece) {
    const count = Math.min(perPiece, chunkOrder.length - from);
    const isLast = from + count === chunkOrder.length;
    const piece = allocate(isLast ? total - made : count * ChunkRecord.size).fill(0);
    for (let i = 0; i < count; i++) {
      const row = chunkOrder[from + i]!;
      chunks.encodeInto(piece, i * ChunkRecord.size, row, chunkFileOffset[row]!);
    }
    made += piece.length;
    yield piece;
  }
}
