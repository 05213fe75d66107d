/**
 * Writer of EROFS images that are compressed by EROFS's own means, so that the kernel alone reads
 * them. Data are cut into pieces of a fixed size, which are compressed one by one into as many
 * blocks as each needs; a piece that needs no fewer is stored as it is.
 *
 * An image is superblock, inodes and directories, then data. What it holds is planned at the end,
 * when it is known where the pieces lie.
 */
import { alignDown, alignUp } from './bytes.js';
import { Column } from './columns.js';
import { direntsSize, encodeDirents } from './dirents-v6.js';
import { RafsError } from './errors.js';
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
} from './layout/erofs-z.js';
import { ExtendedInode, InodeLayout, SuperBlock, V6 } from './layout/v6.js';
import { sortChildren } from './sorted-children.js';
import { Space } from './space-v6.js';
import type { Tree } from './tree.js';
import { encodeXattrs, type XattrArea } from './xattrs-v6.js';

export const BLOCK_SIZE = 2 ** V6.BLOCK_BITS;

/** How pieces are compressed. The larger they are, the smaller the image and the slower a read. */
export const PACKINGS = {
  lz4: { compressor: 'lz4_block', algorithm: Algorithm.LZ4, pieceSize: 0x10000 },
  zstd: { compressor: 'zstd', algorithm: Algorithm.ZSTD, pieceSize: 0x20000 },
} as const;
export type PackingName = keyof typeof PACKINGS;

/** An offset of LZ4 is less than this. */
const LZ4_DISTANCE = 0xffff;
/** No inode lies at the start of an image. */
const NOT_PLACED = 0;
const ENTRY_SIZE = HeadEntry.size;

/** Where the pieces of files lie, in blocks from the first that has data. */
export class Pieces {
  readonly pieceSize: number;
  /** blocks in all */
  blocks = 0;
  readonly #blkaddr = new Column(Uint32Array);
  /** blocks of a compressed piece; 0 for one that is stored as it is */
  readonly #packed = new Column(Uint8Array);
  /** the first piece of a file, and how many blocks it has; by source number */
  readonly #first = new Map<number, { piece: number; blocks: number; packed: boolean }>();

  constructor(pieceSize: number) {
    this.pieceSize = pieceSize;
  }

  /** Pieces come next that are those of this file. */
  startFile(source: number): void {
    this.#first.set(source, { piece: this.#blkaddr.length, blocks: 0, packed: false });
  }

  /** A piece of the file that was started, of so many blocks. */
  add(source: number, blocks: number, packed: boolean): void {
    const file = this.#first.get(source)!; // it was started
    this.#blkaddr.push(this.blocks);
    this.#packed.push(packed ? blocks : 0);
    file.blocks += blocks;
    file.packed ||= packed;
    this.blocks += blocks;
    if (this.blocks > 0xffff_ffff) throw new RafsError('LIMIT', `${this.blocks} blocks`);
  }

  /** A file that has no data has no pieces. */
  file(source: number): { piece: number; blocks: number; packed: boolean } | undefined {
    return this.#first.get(source);
  }

  blkaddr(piece: number): number {
    return this.#blkaddr.get(piece);
  }

  packedBlocks(piece: number): number {
    return this.#packed.get(piece);
  }
}

export interface CompressedPlan {
  readonly tree: Tree;
  readonly pieces: Pieces;
  readonly algorithm: number;
  /** bytes before the data, whole blocks */
  readonly metaSize: number;
  /** of the image, whole blocks */
  readonly size: number;
  /** by row: where inodes lie, and whole blocks of directories and symlinks */
  readonly offset: Float64Array;
  readonly dataOffset: Float64Array;
  readonly layout: Uint8Array;
  readonly nlink: Uint32Array;
  /** by row: the first name of the inode */
  readonly firstName: Uint32Array;
  readonly xattrAreas: readonly (XattrArea | undefined)[];
  readonly childrenOf: (row: number) => Uint32Array;
}

/** Decides where everything lies. The sizes of directories become those they have in the image. */
export const planCompressed = (
  tree: Tree,
  pieces: Pieces,
  packing: PackingName,
): CompressedPlan => {
  const { children, childStart, childCount } = sortChildren(tree);
  const childrenOf = (row: number): Uint32Array =>
    children.subarray(childStart[row], childStart[row]! + childCount[row]!);
  const xattrAreas = tree.xattrSets.map(set => set && encodeXattrs(set));
  const offset = new Float64Array(tree.count);
  const dataOffset = new Float64Array(tree.count);
  const layout = new Uint8Array(tree.count);
  const nlink = new Uint32Array(tree.count).fill(1);
  const firstName = Uint32Array.from({ length: tree.count }, (_, row) => row);
  const firstOf = new Map<number, number>(); // by source number, of files
  const space = new Space(BLOCK_SIZE);

  const placeFile = (row: number, isize: number): void => {
    const first = firstOf.get(tree.source.get(row));
    if (first !== undefined) {
      firstName[row] = first;
      offset[row] = offset[first]!;
      nlink[first]! += 1;
      return;
    }
    firstOf.set(tree.source.get(row), row);
    const packed = pieces.file(tree.source.get(row))?.packed ?? false;
    layout[row] = packed ? COMPRESSED_FULL : InodeLayout.FLAT_PLAIN;
    const clusters = Math.ceil(tree.size.get(row) / BLOCK_SIZE);
    const size = packed ? mapAt(isize) + MapHeader.size + clusters * ENTRY_SIZE : isize;
    offset[row] = space.take(size) || space.append(size);
  };

  /** The last part of the data lies behind the inode where one block has room for both. */
  const placeFlat = (row: number, isize: number): void => {
    const dataSize = tree.size.get(row);
    const tail = dataSize % BLOCK_SIZE;
    const whole = dataSize - tail;
    const inline =
      tail > 0 && isize + tail <= BLOCK_SIZE && (whole === 0 || !tree.isType(row, 'symlink'));
    layout[row] = inline ? InodeLayout.FLAT_INLINE : InodeLayout.FLAT_PLAIN;
    const size = isize + (inline ? tail : 0);
    offset[row] = space.take(size);
    if (offset[row] === NOT_PLACED) {
      if (inline && space.room < size) space.leaveBlock();
      offset[row] = space.append(size);
    }
    if (inline && whole === 0) return;
    space.align(V6.SLOT_SIZE);
    space.leaveBlock();
    dataOffset[row] = space.append(inline ? whole : alignUp(dataSize, BLOCK_SIZE));
  };

  for (let row = 0; row < tree.count; row++) {
    const isize = inodeSize(xattrAreas[tree.xattrs.get(row)]);
    if (tree.isType(row, 'file')) {
      placeFile(row, isize);
    } else if (tree.isType(row, 'directory')) {
      const own = childrenOf(row);
      tree.size.data[row] = direntsSize(tree, own, BLOCK_SIZE);
      nlink[row] = own.reduce((sum, child) => sum + (tree.isType(child, 'directory') ? 1 : 0), 2);
      placeFlat(row, isize);
    } else if (tree.isType(row, 'symlink')) {
      placeFlat(row, isize);
    } else {
      offset[row] = space.append(isize);
    }
    space.align(V6.SLOT_SIZE);
  }
  const metaSize = alignUp(space.cursor, BLOCK_SIZE);
  const size = metaSize + pieces.blocks * BLOCK_SIZE;
  if (size / BLOCK_SIZE > 0xffff_ffff) throw new RafsError('LIMIT', `${size} bytes of blocks`);
  return {
    tree,
    pieces,
    algorithm: PACKINGS[packing].algorithm,
    metaSize,
    size,
    offset,
    dataOffset,
    layout,
    nlink,
    firstName,
    xattrAreas,
    childrenOf,
  };
};

const inodeSize = (area: XattrArea | undefined): number =>
  ExtendedInode.size + (area ? area.bytes.length : 0);

/** Where behind an inode of that size its map is. */
const mapAt = (isize: number): number => alignUp(isize, MapHeader.offsets.gap);

/** Everything before the data, in one buffer of `metaSize`. */
export const encodeMetadata = (plan: CompressedPlan): Buffer => {
  const { tree, metaSize, firstName, dataOffset, layout } = plan;
  const image = Buffer.alloc(metaSize);
  encodeHead(plan, image);
  for (let row = 0; row < tree.count; row++) {
    if (firstName[row] !== row) continue;
    const at = plan.offset[row]!;
    const area = plan.xattrAreas[tree.xattrs.get(row)];
    ExtendedInode.encodeInto(image, at, {
      format: 1 + 2 * layout[row]!,
      xattrIcount: area ? area.icount : 0,
      mode: tree.mode.get(row),
      size: sizeOf(tree, row),
      union1: union1(plan, row),
      ino: row + 1,
      uid: tree.uid.get(row),
      gid: tree.gid.get(row),
      mtime: tree.mtime.get(row),
      mtimeNsec: tree.mtimeNsec.get(row),
      nlink: plan.nlink[row]!,
    });
    area?.bytes.copy(image, at + ExtendedInode.size);
    const behind = at + inodeSize(area);
    if (layout[row] === COMPRESSED_FULL) {
      encodeMap(plan, row, image, at + mapAt(inodeSize(area)));
    } else if (tree.isType(row, 'directory') || tree.isType(row, 'symlink')) {
      const data = flatData(plan, row);
      const inline = layout[row] === InodeLayout.FLAT_INLINE;
      const whole = inline ? alignDown(data.length, BLOCK_SIZE) : data.length;
      data.copy(image, dataOffset[row], 0, whole);
      data.copy(image, behind, whole);
    }
  }
  return image;
};

/** What is none of file, directory and symlink has no content. */
const sizeOf = (tree: Tree, row: number): number =>
  hasContent(tree, row) ? tree.size.get(row) : 0;

const hasContent = (tree: Tree, row: number): boolean =>
  tree.isType(row, 'file') || tree.isType(row, 'directory') || tree.isType(row, 'symlink');

const flatData = ({ tree, offset, childrenOf }: CompressedPlan, row: number): Buffer => {
  if (tree.isType(row, 'symlink')) return Buffer.from(tree.target(row), 'latin1');
  const nidOf = (child: number): number => offset[child]! / V6.SLOT_SIZE;
  return encodeDirents(tree, row, childrenOf(row), BLOCK_SIZE, tree.size.get(row), nidOf);
};

const encodeHead = ({ tree, offset, size, algorithm, pieces }: CompressedPlan, image: Buffer) => {
  SuperBlock.encodeInto(image, V6.SUPER_OFFSET, {
    checksum: 0,
    featureCompat: 0,
    blockBits: V6.BLOCK_BITS,
    extSlots: 0,
    rootNid: offset[0]! / V6.SLOT_SIZE,
    inodeCount: tree.count,
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
};

/** Blocks of a compressed file; else its first block; of a device its number. */
const union1 = (plan: CompressedPlan, row: number): number => {
  const { tree, pieces, metaSize } = plan;
  const dataStart = metaSize / BLOCK_SIZE;
  if (tree.isType(row, 'file')) {
    const file = pieces.file(tree.source.get(row));
    if (!file) return 0;
    return file.packed ? file.blocks : dataStart + pieces.blkaddr(file.piece);
  }
  if (tree.isType(row, 'directory') || tree.isType(row, 'symlink')) {
    return plan.dataOffset[row]! / BLOCK_SIZE;
  }
  return tree.isType(row, 'char') || tree.isType(row, 'block') ? tree.rdev.get(row) : 0;
};

/** The map of a file that has a compressed piece: the header, and an entry for every block. */
const encodeMap = (
  { tree, pieces, algorithm, metaSize }: CompressedPlan,
  row: number,
  image: Buffer,
  start: number,
): void => {
  MapHeader.encodeInto(image, start, {
    advise: MapAdvise.BIG_CLUSTER_1,
    algorithms: algorithm,
    clusterBits: 0,
  });
  const dataStart = metaSize / BLOCK_SIZE;
  const file = pieces.file(tree.source.get(row))!; // it has pieces, one of them compressed
  let at = start + MapHeader.size;
  let piece = file.piece;
  const head = (type: number, blkaddr: number, clusterOffset = 0): void => {
    HeadEntry.encodeInto(image, at, { type, clusterOffset, blkaddr });
    at += ENTRY_SIZE;
  };
  for (let left = tree.size.get(row); left > 0; left -= pieces.pieceSize, piece++) {
    const size = Math.min(left, pieces.pieceSize);
    const blkaddr = dataStart + pieces.blkaddr(piece);
    const packed = pieces.packedBlocks(piece);
    if (packed === 0) {
      const count = Math.ceil(size / BLOCK_SIZE);
      for (let i = 0; i < count; i++) head(ClusterType.PLAIN, blkaddr + i);
      continue;
    }
    const whole = Math.floor(size / BLOCK_SIZE);
    head(ClusterType.HEAD, blkaddr);
    for (let i = 1; i < whole; i++) {
      const back = i === 1 ? CLUSTER_SIZE | packed : i;
      NonheadEntry.encodeInto(image, at, { back, on: whole - i });
      at += ENTRY_SIZE;
    }
    // an entry without data of its own says where those of the last piece end
    const tail = size % BLOCK_SIZE;
    if (tail > 0) head(ClusterType.PLAIN, 0, tail);
  }
};
