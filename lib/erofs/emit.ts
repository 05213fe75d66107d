/**
 * The metadata of EROFS images with EROFS's own compression, which the kernel can read by itself:
 * superblock, then inodes and directories. The data follow.
 *
 * A file with a compressed piece has a map: an index entry for every block of the file. With it, a
 * reader finds the blocks of the image that hold the piece.
 */
import { alignDown } from '../layout/align.js';
import { mapAt, mapCount, type CompressedPlan } from './plan.js';
import { encodeDirents } from '../bootstrap/v6/dirent-writer.js';
import {
  Algorithm,
  CLUSTER_SIZE,
  ClusterType,
  COMPRESSED_FULL,
  FEATURE_COMPRESSED,
  HeadEntry,
  Lz4Config,
  MapAdvise,
  MapHeader,
  NonheadEntry,
  ZstdConfig,
} from '../layout/erofs-z.js';
import { ExtendedInode, InodeLayout, SuperBlock, V6 } from '../layout/rafs-v6.js';
import { BLOCK_SIZE } from './pclusters.js';
import type { Tree } from '../tree/tree.js';
import { windows } from '../memory/windows.js';

/** The largest offset of an LZ4 match. */
const LZ4_DISTANCE = 0xffff;
const ENTRY_SIZE = HeadEntry.size;
/** How many entries of a map are made at a time. */
const RUN = 0x1000;

/** Bytes of the metadata without the tails of files, which belong where `tails` says. */
export interface MetadataPiece {
  bytes: Buffer;
  /** in the order of the files */
  tails: readonly { at: number; size: number }[];
}

// kinds of items that a row has: its inode, its blocks and, from MAP on, the runs of its map
const INODE = 0;
const BLOCKS = 1;
const MAP = 2;

/** Everything before the data: `metaSize` bytes, front to back. */
export function* emitMetadata(plan: CompressedPlan): Iterable<MetadataPiece> {
  yield { bytes: head(plan), tails: [] };
  const { tree, firstName, offset, dataOffset, layout, pieces } = plan;
  let tails: { at: number; size: number }[] = [];
  const made = windows({
    start: V6.META_ALIGN, // where the first inode lies
    end: plan.metaSize,
    each(visit) {
      for (let row = 0; row < tree.count; row++) {
        if (firstName[row] !== row) continue;
        visit(offset[row]!, row + INODE * tree.count);
        if (hasBlocks(plan, row)) visit(dataOffset[row]!, row + BLOCKS * tree.count);
        if (layout[row] !== COMPRESSED_FULL) continue;
        const map = entriesAt(plan, row);
        for (let i = 0; i * RUN < mapCount(tree, row); i++) {
          visit(map + i * RUN * ENTRY_SIZE, row + (MAP + i) * tree.count);
        }
      }
    },
    write(item, from, _window, put) {
      const row = item % tree.count;
      const kind = Math.floor(item / tree.count);
      if (kind === INODE) {
        put(offset[row]! - from, encodeInode(plan, row));
        if (!tree.isType(row, 'file') || layout[row] !== InodeLayout.FLAT_INLINE) return;
        const at = offset[row]! + pieces.inodeSize(row) - from;
        tails.push({ at, size: pieces.tailSize(row) });
      } else if (kind === BLOCKS) {
        put(dataOffset[row]! - from, blocks(plan, row));
      } else {
        const first = (kind - MAP) * RUN;
        put(entriesAt(plan, row) + first * ENTRY_SIZE - from, encodeEntries(plan, row, first));
      }
    },
  });
  for (const bytes of made) {
    yield { bytes, tails };
    tails = [];
  }
}

/** The block with the superblock in it. */
const head = ({ tree, offset, size, algorithm, pieces, inodeCount }: CompressedPlan): Buffer => {
  const image = Buffer.alloc(V6.META_ALIGN);
  SuperBlock.encodeInto(image, V6.SUPER_OFFSET, {
    checksum: 0,
    featureCompat: 0,
    blockBits: V6.BLOCK_BITS,
    extSlots: 0,
    rootNid: offset[tree.root]! / V6.SLOT_SIZE,
    inodeCount,
    buildTime: 0,
    buildTimeNsec: 0,
    blocks: size / BLOCK_SIZE,
    metaBlkaddr: 0,
    xattrBlkaddr: 0,
    uuid: Buffer.alloc(16),
    volumeName: Buffer.alloc(16),
    featureIncompat: FEATURE_COMPRESSED,
    union1: 2 ** algorithm,
    extraDevices: 0,
    devtSlotoff: 0,
  });
  const at = V6.SUPER_OFFSET + SuperBlock.size;
  if (algorithm === Algorithm.LZ4) {
    const maxClusterBlocks = pieces.pieceSize / BLOCK_SIZE;
    Lz4Config.encodeInto(image, at, { maxDistance: LZ4_DISTANCE, maxClusterBlocks });
  } else {
    const windowLogMinus10 = Math.log2(pieces.pieceSize) - 10;
    ZstdConfig.encodeInto(image, at, { windowLogMinus10 });
  }
  return image;
};

/** An inode with its xattrs, and what follows it: the head of its map, or the tail of its data. */
const encodeInode = (plan: CompressedPlan, row: number): Buffer => {
  const { tree, pieces, layout } = plan;
  const area = pieces.xattrArea(row);
  const size = pieces.inodeSize(row);
  const packed = layout[row] === COMPRESSED_FULL;
  const tail =
    isFlat(tree, row) && layout[row] === InodeLayout.FLAT_INLINE
      ? flatData(plan, row).subarray(-(tree.size.get(row) % BLOCK_SIZE))
      : undefined;
  const bytes = Buffer.alloc(packed ? mapAt(size) + MapHeader.size : size + (tail?.length ?? 0));
  ExtendedInode.encodeInto(bytes, 0, {
    format: 1 + 2 * layout[row]!,
    xattrIcount: area ? area.icount : 0,
    mode: tree.mode.get(row),
    size: tree.isType(row, 'file') || isFlat(tree, row) ? tree.size.get(row) : 0,
    union1: union1(plan, row),
    ino: row + 1,
    uid: tree.uid.get(row),
    gid: tree.gid.get(row),
    mtime: tree.mtime.get(row),
    mtimeNsec: tree.mtimeNsec.get(row),
    nlink: plan.nlink[row]!,
  });
  area?.bytes.copy(bytes, ExtendedInode.size);
  tail?.copy(bytes, size);
  if (packed) {
    MapHeader.encodeInto(bytes, mapAt(size), {
      advise: MapAdvise.BIG_CLUSTER_1,
      algorithms: plan.algorithm,
      clusterBits: 0,
    });
  }
  return bytes;
};

/** Whether the data of an inode are part of the metadata. */
const isFlat = (tree: Tree, row: number): boolean =>
  tree.isType(row, 'directory') || tree.isType(row, 'symlink');

const flatData = ({ tree, offset, childrenOf }: CompressedPlan, row: number): Buffer => {
  if (tree.isType(row, 'symlink')) return Buffer.from(tree.target(row), 'latin1');
  const nidOf = (child: number): number => offset[child]! / V6.SLOT_SIZE;
  return encodeDirents(tree, row, childrenOf(row), BLOCK_SIZE, tree.size.get(row), nidOf);
};

/** Whether a directory or symlink has whole blocks of data apart from its inode. */
const hasBlocks = ({ dataOffset }: CompressedPlan, row: number): boolean => dataOffset[row]! > 0;

const blocks = (plan: CompressedPlan, row: number): Buffer => {
  const data = flatData(plan, row);
  if (plan.layout[row] === InodeLayout.FLAT_PLAIN) return data;
  return data.subarray(0, alignDown(data.length, BLOCK_SIZE));
};

/** The number of blocks of a compressed file; else the first block; for a device, its number. */
const union1 = (plan: CompressedPlan, row: number): number => {
  const { tree, pieces, metaSize } = plan;
  if (tree.isType(row, 'file')) {
    if (pieces.isPacked(row)) return pieces.fileBlocks(row);
    if (pieces.fileBlocks(row) === 0) return 0;
    return metaSize / BLOCK_SIZE + pieces.blkaddr(pieces.firstPiece(row));
  }
  if (isFlat(tree, row)) return plan.dataOffset[row]! / BLOCK_SIZE;
  return tree.isType(row, 'char') || tree.isType(row, 'block') ? tree.rdev.get(row) : 0;
};

/** Where the entries of a file's map begin. */
const entriesAt = ({ offset, pieces }: CompressedPlan, row: number): number =>
  offset[row]! + mapAt(pieces.inodeSize(row)) + MapHeader.size;

/** A run of entries of a map, from `first` on. */
const encodeEntries = (plan: CompressedPlan, row: number, first: number): Buffer => {
  const count = Math.min(RUN, mapCount(plan.tree, row) - first);
  const bytes = Buffer.alloc(count * ENTRY_SIZE);
  for (let i = 0; i < count; i++) encodeEntry(plan, row, first + i, bytes, i * ENTRY_SIZE);
  return bytes;
};

const encodeEntry = (
  { tree, pieces, metaSize }: CompressedPlan,
  row: number,
  index: number,
  bytes: Buffer,
  at: number,
): void => {
  const { pieceSize } = pieces;
  const perPiece = pieceSize / BLOCK_SIZE;
  const number = Math.floor(index / perPiece);
  const i = index % perPiece; // in the piece
  const piece = pieces.firstPiece(row) + number;
  const blkaddr = metaSize / BLOCK_SIZE + pieces.blkaddr(piece);
  const packed = pieces.packedBlocks(piece);
  if (packed === 0) {
    const type = ClusterType.PLAIN;
    HeadEntry.encodeInto(bytes, at, { type, clusterOffset: 0, blkaddr: blkaddr + i });
    return;
  }
  if (i === 0) {
    HeadEntry.encodeInto(bytes, at, { type: ClusterType.HEAD, clusterOffset: 0, blkaddr });
    return;
  }
  const size = Math.min(tree.size.get(row) - number * pieceSize, pieceSize);
  const whole = Math.floor(size / BLOCK_SIZE);
  if (i < whole) {
    const back = i === 1 ? CLUSTER_SIZE | packed : i;
    NonheadEntry.encodeInto(bytes, at, { back, on: whole - i });
    return;
  }
  // the entry of a partial last block begins no data, but says where those of the piece end
  const clusterOffset = size % BLOCK_SIZE;
  HeadEntry.encodeInto(bytes, at, { type: ClusterType.PLAIN, clusterOffset, blkaddr: 0 });
};
