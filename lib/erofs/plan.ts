/** Decides where everything lies in an image that uses EROFS's own compression. */
import { alignUp } from '../layout/align.js';
import { direntsSize } from '../bootstrap/v6/dirent-writer.js';
import { RafsError } from '../errors.js';
import { COMPRESSED_FULL, HeadEntry, MAP_ALIGN, MapHeader } from '../layout/erofs-z.js';
import { InodeLayout, V6 } from '../layout/rafs-v6.js';
import { BLOCK_SIZE, type PclusterMap } from './pclusters.js';
import { sortChildren } from '../tree/sorted-children.js';
import { Space } from '../bootstrap/v6/inode-space.js';
import type { Tree } from '../tree/tree.js';

/** No inode lies at the start of an image. */
const NOT_PLACED = 0;

export interface CompressedPlan {
  readonly tree: Tree;
  readonly pieces: PclusterMap;
  readonly algorithm: number;
  /** bytes before the data, whole blocks */
  readonly metaSize: number;
  /** of the image, whole blocks */
  readonly size: number;
  readonly inodeCount: number;
  /** by row: offsets of inodes, and of the whole blocks of directories and symlinks */
  readonly offset: Float64Array;
  readonly dataOffset: Float64Array;
  readonly layout: Uint8Array;
  readonly nlink: Uint32Array;
  /** by row: the first name of the inode */
  readonly firstName: Uint32Array;
  readonly childrenOf: (row: number) => Uint32Array;
}

/** Where the map lies, counted from the start of an inode of that size. */
export const mapAt = (inodeSize: number): number => alignUp(inodeSize, MAP_ALIGN);

/** How many entries the map of a file has. */
export const mapCount = (tree: Tree, row: number): number =>
  Math.ceil(tree.size.get(row) / BLOCK_SIZE);

/**
 * Plans an image once all its pieces are placed. Sets the sizes of directories to those that they
 * have in the image. LIMIT over 16 TiB.
 *
 * Inodes that are followed by a file's tail lie in row order, so that the tails can be read in the
 * order in which they came.
 */
export const planCompressed = (
  tree: Tree,
  pieces: PclusterMap,
  algorithm: number,
): CompressedPlan => {
  const { children, childStart, childCount } = sortChildren(tree);
  const childrenOf = (row: number): Uint32Array =>
    children.subarray(childStart[row], childStart[row]! + childCount[row]!);
  const offset = new Float64Array(tree.count);
  const dataOffset = new Float64Array(tree.count);
  const layout = new Uint8Array(tree.count);
  const nlink = new Uint32Array(tree.count).fill(1);
  const firstName = Uint32Array.from({ length: tree.count }, (_, row) => row);
  const firstOf = new Uint32Array(tree.sourceCount); // an inode's first row; 0 (the root) for none
  const space = new Space(BLOCK_SIZE);
  let inodeCount = 0;

  /** Takes space at the cursor, all of it in one block. */
  const appendWhole = (size: number): number => {
    if (space.room < size) space.leaveBlock();
    return space.append(size);
  };

  /** Whether another name of the same inode has been placed, which this one then shares. */
  const sharesPlace = (row: number): boolean => {
    const source = tree.source.get(row);
    const first = firstOf[source]!;
    if (first === 0) {
      firstOf[source] = row;
      inodeCount += 1;
      return false;
    }
    firstName[row] = first;
    offset[row] = offset[first]!;
    nlink[first]! += 1;
    return true;
  };

  const placeFile = (row: number): void => {
    const inodeSize = pieces.inodeSize(row);
    if (pieces.isPacked(row)) {
      layout[row] = COMPRESSED_FULL;
      const size = mapAt(inodeSize) + MapHeader.size + mapCount(tree, row) * HeadEntry.size;
      offset[row] = space.take(size) || space.append(size);
    } else if (pieces.tailSize(row) > 0) {
      layout[row] = InodeLayout.FLAT_INLINE;
      offset[row] = appendWhole(inodeSize + pieces.tailSize(row));
    } else {
      layout[row] = InodeLayout.FLAT_PLAIN;
      offset[row] = space.take(inodeSize) || space.append(inodeSize);
    }
  };

  /** A partial last block of data follows the inode if one block has room for both. */
  const placeFlat = (row: number): void => {
    const inodeSize = pieces.inodeSize(row);
    const dataSize = tree.size.get(row);
    const tail = dataSize % BLOCK_SIZE;
    const whole = dataSize - tail;
    const inline =
      tail > 0 && inodeSize + tail <= BLOCK_SIZE && (whole === 0 || !tree.isType(row, 'symlink'));
    layout[row] = inline ? InodeLayout.FLAT_INLINE : InodeLayout.FLAT_PLAIN;
    const size = inodeSize + (inline ? tail : 0);
    offset[row] = space.take(size);
    if (offset[row] === NOT_PLACED) {
      offset[row] = inline ? appendWhole(size) : space.append(size);
    }
    if (dataSize === 0 || (inline && whole === 0)) return;
    space.align(V6.SLOT_SIZE);
    space.leaveBlock();
    dataOffset[row] = space.append(inline ? whole : alignUp(dataSize, BLOCK_SIZE));
  };

  for (let row = 0; row < tree.count; row++) {
    if (sharesPlace(row)) continue;
    if (tree.isType(row, 'file')) {
      placeFile(row);
    } else if (tree.isType(row, 'directory')) {
      const own = childrenOf(row);
      tree.size.data[row] = direntsSize(tree, own, BLOCK_SIZE);
      nlink[row] = own.reduce((sum, child) => sum + (tree.isType(child, 'directory') ? 1 : 0), 2);
      placeFlat(row);
    } else if (tree.isType(row, 'symlink')) {
      placeFlat(row);
    } else {
      const size = pieces.inodeSize(row);
      offset[row] = space.take(size) || space.append(size);
    }
    space.align(V6.SLOT_SIZE);
  }
  const metaSize = alignUp(space.cursor, BLOCK_SIZE);
  const size = metaSize + pieces.blocks * BLOCK_SIZE;
  if (size / BLOCK_SIZE > 0xffff_ffff)
    throw new RafsError('LIMIT', `an image of ${size} bytes is too large`);
  return {
    tree,
    pieces,
    algorithm,
    metaSize,
    size,
    inodeCount,
    offset,
    dataOffset,
    layout,
    nlink,
    firstName,
    childrenOf,
  };
};
