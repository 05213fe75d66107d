/**
 * Writer of RAFS v6 bootstraps. `planV6` decides every offset; `emitV6` then makes the bytes front
 * to back, in pieces, so that an image of any size can go to a pipe in bounded memory.
 *
 * The layout matches nydus-image's to the byte: order of inodes, use of block tails, tables.
 */
import { alignDown, alignUp } from '../../layout/align.js';
import type { ChunkTable } from '../../chunk/chunk-table.js';
import { Column } from '../../memory/columns.js';
import { direntsSize } from './dirent-writer.js';
import { RafsError } from '../../errors.js';
import { BlobFeature } from '../../layout/blob.js';
import { BlobEntry, DeviceSlot, ExtendedInode, InodeLayout, V6 } from '../../layout/rafs-v6.js';
import { ChunkRecord } from '../../layout/rafs.js';
import { SuperFlag } from '../../layout/rafs.js';
import type { BlobInfo } from '../../model/blob.js';
import { sortChildren, type SortedChildren } from '../../tree/sorted-children.js';
import { Space } from './inode-space.js';
import type { Tree } from '../../tree/tree.js';
import { encodeXattrs, type XattrArea } from './xattrs.js';

const CHUNK_INDEX_SIZE = 8;
const NOT_PLACED = 0;

export interface PlanOptions {
  chunkSize: number;
  /** SuperFlag bits of compressor, digester, owners and encryption; the others are added here */
  flags: number;
  /** 512-byte blocks, no chunk digests */
  tarfs?: boolean;
  /** paths whose inodes go to the prefetch table, in order */
  prefetch?: readonly string[];
}

/** Where everything lies. Offsets by row are relative to `metaOffset`. */
export interface PlanV6 extends SortedChildren {
  readonly tree: Tree;
  readonly chunks: ChunkTable;
  readonly blobs: readonly BlobInfo[];
  readonly blockSize: number;
  readonly chunkSize: number;
  readonly flags: number;
  readonly inodeCount: number;
  /** rows in the order in which nydus-image writes them; of a file's names, the last one wins */
  readonly order: Uint32Array;
  readonly offset: Float64Array;
  readonly dataOffset: Float64Array;
  readonly layout: Uint8Array;
  readonly ino: Uint32Array;
  readonly nlink: Uint32Array;
  readonly xattrAreas: readonly (XattrArea | undefined)[];
  /** rows of the chunk table in their order on disk, and the file offset each record states */
  readonly chunkOrder: Uint32Array;
  readonly chunkFileOffset: Float64Array;
  readonly prefetchNids: readonly number[];
  readonly blobTableOffset: number;
  readonly prefetchOffset: number;
  readonly metaOffset: number;
  readonly inodesEnd: number;
  readonly chunkTableOffset: number;
  readonly size: number;
  readonly mappedBlkaddrs: readonly number[];
}

/** Size of an inode with its xattrs. */
export const inodeSize = (area: XattrArea | undefined): number =>
  ExtendedInode.size + (area ? area.bytes.length : 0);

export const planV6 = (
  tree: Tree,
  chunks: ChunkTable,
  blobs: readonly BlobInfo[],
  { chunkSize, flags, tarfs = false, prefetch = [] }: PlanOptions,
): PlanV6 => {
  const blockSize = 2 ** (tarfs ? V6.TARFS_BLOCK_BITS : V6.BLOCK_BITS);
  if (blobs.length > V6.MAX_BLOBS)
    throw new RafsError('LIMIT', `an image cannot have ${blobs.length} blobs`);
  const xattrAreas = tree.xattrSets.map(set => set && encodeXattrs(set));
  const sorted = sortChildren(tree);
  const laid = layOut(tree, sorted, xattrAreas, chunkSize, blockSize);
  const table = chunkTable(tree, chunks, laid.order, chunkSize, blobs);

  const prefetchRows = prefetch.map(path => tree.find(path.replace(/^\/+/, '')));
  const nidOf = (row: number): number => laid.offset[row]! / V6.SLOT_SIZE;
  const prefetchNids =
    blobs.length === 0
      ? []
      : prefetchRows
          .filter(row => row >= 0 && !(tree.isType(row, 'file') && tree.size.get(row) === 0))
          .map(nidOf);

  const blobTableOffset = alignUp(V6.DEVICE_OFFSET + DeviceSlot.size * blobs.length, V6.META_ALIGN);
  const prefetchOffset = blobTableOffset + BlobEntry.size * blobs.length;
  const metaOffset =
    blobs.length === 0 ? 0 : alignUp(prefetchOffset + 4 * prefetchNids.length, V6.META_ALIGN);
  const inodesEnd = metaOffset + laid.end;
  const chunkTableOffset = alignUp(inodesEnd, V6.META_ALIGN);
  const size = alignUp(
    chunkTableOffset + ChunkRecord.size * table.chunkOrder.length,
    V6.META_ALIGN,
  );

  return {
    tree,
    chunks,
    blobs,
    blockSize,
    chunkSize,
    flags:
      flags +
      (laid.hasXattrs ? SuperFlag.HAS_XATTR : 0) +
      (tarfs ? SuperFlag.TARTFS_MODE : 0) +
      (blobs.every(blob => blob.features & BlobFeature.INLINED_CHUNK_DIGEST)
        ? SuperFlag.INLINED_CHUNK_DIGEST
        : 0),
    ...sorted,
    ...laid,
    xattrAreas,
    ...table,
    prefetchNids,
    blobTableOffset,
    prefetchOffset,
    metaOffset,
    inodesEnd,
    chunkTableOffset,
    size,
    mappedBlkaddrs: mapDevices(blobs, size, blockSize),
  };
};

type Laid = Pick<
  PlanV6,
  'order' | 'offset' | 'dataOffset' | 'layout' | 'ino' | 'nlink' | 'inodeCount'
> & { end: number; hasXattrs: boolean };

/** Gives every inode its number and place: a directory's children, then each directory in it. */
const layOut = (
  tree: Tree,
  { children, childStart, childCount }: SortedChildren,
  xattrAreas: readonly (XattrArea | undefined)[],
  chunkSize: number,
  blockSize: number,
): Laid => {
  const offset = new Float64Array(tree.count);
  const dataOffset = new Float64Array(tree.count);
  const layout = new Uint8Array(tree.count);
  const ino = new Uint32Array(tree.count);
  const nlink = new Uint32Array(tree.count);
  const order = new Column(Uint32Array, tree.count);
  const names = new Uint32Array(tree.sourceCount); // how many an inode has, by source number
  const firstName = new Uint32Array(tree.sourceCount);
  const space = new Space(blockSize);
  let hasXattrs = false;
  let end = 0;

  const place = (row: number, at: number, size: number): void => {
    offset[row] = at;
    end = Math.max(end, at + size);
  };

  /** A directory or symlink: a partial last block follows the inode if one block fits both. */
  const placeWithTail = (row: number, isize: number, dataSize: number): void => {
    const tail = dataSize % blockSize;
    if (
      tail !== 0 &&
      isize + tail <= blockSize &&
      !(tail !== dataSize && tree.isType(row, 'symlink'))
    ) {
      layout[row] = InodeLayout.FLAT_INLINE;
      let at = space.take(isize + tail);
      if (at === NOT_PLACED) {
        if (space.room < isize + tail) space.leaveBlock();
        at = space.append(isize + tail);
      }
      place(row, at, isize + tail);
      if (dataSize !== tail) space.leaveBlock();
      dataOffset[row] = space.append(alignDown(dataSize, blockSize));
      if (dataSize !== tail) end = Math.max(end, space.cursor);
    } else {
      layout[row] = InodeLayout.FLAT_PLAIN;
      const at = space.take(isize) || space.append(isize);
      place(row, at, isize);
      space.leaveBlock();
      dataOffset[row] = space.append(dataSize);
      end = Math.max(end, space.cursor);
      space.align(blockSize);
    }
    space.align(V6.SLOT_SIZE);
  };

  const placeFile = (row: number, isize: number): void => {
    layout[row] = InodeLayout.CHUNK_BASED;
    const count = Math.ceil(tree.size.get(row) / chunkSize);
    const size = alignUp(isize, CHUNK_INDEX_SIZE) + CHUNK_INDEX_SIZE * count;
    place(row, space.take(size) || space.append(size), count === 0 ? isize : size);
    space.align(V6.SLOT_SIZE);
  };

  /** Whether another name of the same inode has been placed, which this one then shares. */
  const sharesPlace = (row: number): boolean => {
    const source = tree.source.get(row);
    if (names[source]!++ === 0) {
      firstName[source] = row;
      return false;
    }
    const first = firstName[source]!;
    for (const column of [ino, offset, dataOffset, layout]) column[row] = column[first]!;
    space.align(V6.SLOT_SIZE);
    return true;
  };

  const inodeSizeOf = (row: number): number => {
    const area = xattrAreas[tree.xattrs.get(row)];
    if (area) hasXattrs = true;
    return inodeSize(area);
  };

  ino[0] = 1;
  order.push(0);
  let nextIno = 2;
  const stack = [0];
  while (stack.length > 0) {
    const directory = stack.pop()!;
    const start = childStart[directory]!;
    const own = children.subarray(start, start + childCount[directory]!);
    tree.size.data[directory] = direntsSize(tree, own, blockSize);
    placeWithTail(directory, inodeSizeOf(directory), tree.size.get(directory));
    nlink[directory] = 2;
    for (const row of own) {
      ino[row] = nextIno++;
      nlink[row] = 1;
      order.push(row);
      if (tree.isType(row, 'directory')) {
        nlink[directory]++;
        continue;
      }
      const isize = inodeSizeOf(row);
      if (sharesPlace(row)) continue;
      if (tree.isType(row, 'file')) placeFile(row, isize);
      else if (tree.isType(row, 'symlink')) placeWithTail(row, isize, tree.size.get(row));
      else {
        layout[row] = InodeLayout.FLAT_PLAIN;
        place(row, space.append(isize), isize);
        space.align(V6.SLOT_SIZE);
      }
    }
    for (let i = own.length - 1; i >= 0; i--) {
      if (tree.isType(own[i]!, 'directory')) stack.push(own[i]!);
    }
  }
  const rows = order.data.subarray(0, order.length);
  for (const row of rows) {
    if (!tree.isType(row, 'directory')) nlink[row] = names[tree.source.get(row)]!;
  }
  return {
    order: rows,
    offset,
    dataOffset,
    layout,
    ino,
    nlink,
    inodeCount: nextIno - 1,
    end,
    hasXattrs,
  };
};

/**
 * Records of the chunk table: every chunk that a file refers to, sorted by digest, then blob. Of
 * chunks with the same key, the last one in the order of the walk stays, with its file offset.
 * Chunks of external blobs have no digest, so their key includes the index.
 */
const chunkTable = (
  tree: Tree,
  chunks: ChunkTable,
  order: Uint32Array,
  chunkSize: number,
  blobs: readonly BlobInfo[],
): Pick<PlanV6, 'chunkOrder' | 'chunkFileOffset'> => {
  const chunkFileOffset = new Float64Array(chunks.count);
  const seen = new Uint32Array(chunks.count); // when the walk last met the chunk; 0 for never
  let now = 0;
  let used = 0;
  for (const row of order) {
    const first = tree.firstChunk.get(row);
    for (let i = 0; i < tree.chunkCount.get(row); i++) {
      const chunk = chunks.lists.get(first + i);
      if (seen[chunk] === 0) used++;
      seen[chunk] = ++now;
      // chunks of files that come from an image keep the offset recorded there
      chunkFileOffset[chunk] =
        row < tree.loadedCount ? chunks.recordedOffset.get(chunk) : i * chunkSize;
    }
  }
  if (!chunks.named) return { chunkOrder: lastOfBlobs(chunks, seen), chunkFileOffset };
  const rows = new Uint32Array(used);
  let at = 0;
  for (let chunk = 0; chunk < chunks.count; chunk++) if (seen[chunk] !== 0) rows[at++] = chunk;
  const isExternal = blobs.map(({ features }) => (features & BlobFeature.EXTERNAL) !== 0);
  const sameKey = (a: number, b: number): number => {
    const blob = chunks.blobIndex.get(a);
    const difference = chunks.compareDigests(a, b) || blob - chunks.blobIndex.get(b);
    if (difference !== 0 || !isExternal[blob]) return difference;
    return chunks.index.get(a) - chunks.index.get(b);
  };
  sortByDigest(rows, chunks, (a, b) => sameKey(a, b) || seen[a]! - seen[b]!);
  let kept = 0;
  for (let i = 0; i < rows.length; i++) {
    if (i + 1 < rows.length && sameKey(rows[i]!, rows[i + 1]!) === 0) continue;
    rows[kept++] = rows[i]!;
  }
  return { chunkOrder: rows.subarray(0, kept), chunkFileOffset };
};

/**
 * Sorts rows by `compare`, which must compare digests first. Numbers sort ten times as fast as with
 * a function, so this sorts numbers: the first bits of a digest, with the place of its row below
 * them. `compare` then sorts only rows that have those bits in common.
 */
const sortByDigest = (
  rows: Uint32Array,
  chunks: ChunkTable,
  compare: (a: number, b: number) => number,
): void => {
  const placeBits = Math.ceil(Math.log2(rows.length + 1));
  const places = 2 ** placeBits;
  const dropped = Math.max(0, placeBits + 32 - 53); // a number has 53 bits
  const keys = new Float64Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    keys[i] = (chunks.digestStart(rows[i]!) >>> dropped) * places + i;
  }
  keys.sort();
  const before = rows.slice();
  let from = 0; // first row with the same bits
  for (let i = 0; i < rows.length; i++) {
    rows[i] = before[keys[i]! % places]!;
    const isLast = i + 1 === rows.length;
    if (!isLast && Math.floor(keys[i]! / places) === Math.floor(keys[i + 1]! / places)) continue;
    if (i > from) rows.subarray(from, i + 1).sort(compare);
    from = i + 1;
  }
};

/** The last chunk of each blob: without a digest, the key of a chunk is its blob alone. */
const lastOfBlobs = (chunks: ChunkTable, seen: Uint32Array): Uint32Array => {
  const last = new Map<number, number>();
  for (let chunk = 0; chunk < chunks.count; chunk++) {
    if (seen[chunk] === 0) continue;
    const blob = chunks.blobIndex.get(chunk);
    const before = last.get(blob);
    if (before === undefined || seen[chunk]! > seen[before]!) last.set(blob, chunk);
  }
  return Uint32Array.from([...last].sort(([a], [b]) => a - b).map(([, chunk]) => chunk));
};

/** Block address of every blob, in one address space that begins with the bootstrap. */
const mapDevices = (blobs: readonly BlobInfo[], size: number, blockSize: number): number[] => {
  let end = size;
  return blobs.map(({ id, uncompressedSize }) => {
    if (id === '' || id.length > 64)
      throw new RafsError('LIMIT', `blob id '${id}' does not fit in the blob table`);
    const mapped = alignUp(end, V6.DEVICE_ALIGN) / blockSize;
    const blocks = Math.floor(uncompressedSize / blockSize);
    end = (mapped + blocks) * blockSize;
    if (mapped + blocks > 0xffff_ffff)
      throw new RafsError(
        'LIMIT',
        `the image would have ${end} bytes, more than the format can address`,
      );
    return mapped;
  });
};
