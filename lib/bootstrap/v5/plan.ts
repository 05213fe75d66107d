/**
 * Writer of RAFS v5 bootstraps. `planV5` numbers the inodes, makes their digests and decides every
 * offset; `emitV5` then makes the bytes front to back.
 *
 * The layout matches nydus-image's to the byte. The inode table is in the order of the numbers: the
 * children of a directory, then those of each directory in it. The records are in another order:
 * each directory is followed by all that is below it.
 */
import { alignUp } from '../../layout/align.js';
import type { ChunkTable } from '../../chunk/chunk-table.js';
import { digest, type Digester, DIGEST_SIZE } from '../../crypto/digest.js';
import { RafsError } from '../../errors.js';
import { BlobHeadV5, ExtendedBlobEntryV5, InodeV5, V5 } from '../../layout/rafs-v5.js';
import { ChunkRecord } from '../../layout/rafs.js';
import { SuperFlag } from '../../layout/rafs.js';
import type { BlobInfo } from '../../model/blob.js';
import { sortChildren } from '../../tree/sorted-children.js';
import type { Tree } from '../../tree/tree.js';
import { encodeXattrsV5 } from './xattrs.js';

const DIRENT_SIZE = 8; // what a name adds to the size of its directory, besides its length
const DIRECTORY_UNIT = 4096;
const NOTHING = Buffer.alloc(0);

export interface PlanOptionsV5 {
  chunkSize: number;
  /** SuperFlag bits of compressor, digester and owners; the others are added here */
  flags: number;
  /** paths whose inodes go to the prefetch table, in order */
  prefetch?: readonly string[];
}

/** The names of a tree by their place in the inode table; place 0 is inode index 1, the root. */
interface Numbered {
  /** row of the tree at each place */
  readonly rows: Uint32Array;
  /** inode number of the name: for a file with several names, the index of the first */
  readonly ino: Uint32Array;
  /** `ino` of the directory, 0 for the root */
  readonly parent: Uint32Array;
  readonly nlink: Uint32Array;
  /** index of a directory's first child, and how many children it has; 0 for everything else */
  readonly childIndex: Uint32Array;
  readonly childCount: Uint32Array;
  /** how many different inodes there are */
  readonly inodeCount: number;
}

export interface PlanV5 extends Numbered {
  readonly tree: Tree;
  readonly chunks: ChunkTable;
  readonly blobs: readonly BlobInfo[];
  readonly chunkSize: number;
  readonly flags: number;
  /** places in the order of their records */
  readonly order: Uint32Array;
  /** offset of the record at each place, in units of 8 bytes: the inode table */
  readonly offset8: Uint32Array;
  /** digests of the inodes by place, 32 bytes each */
  readonly digests: Buffer;
  readonly xattrAreas: readonly (Buffer | undefined)[];
  readonly prefetch: readonly number[];
  readonly blobTable: Buffer;
  readonly prefetchOffset: number;
  readonly blobOffset: number;
  readonly extendedBlobOffset: number;
  readonly inodesOffset: number;
  readonly size: number;
}

/** Length of a name as stored: that of the root is '/'. */
export const storedNameSize = (tree: Tree, row: number): number => tree.nameSize(row) || 1;

/** Size of a record without the chunks at its end. */
export const headSize = (plan: Pick<PlanV5, 'tree' | 'xattrAreas'>, row: number): number => {
  const { tree } = plan;
  return (
    InodeV5.size +
    alignUp(storedNameSize(tree, row), V5.ALIGN) +
    (tree.isType(row, 'symlink') ? alignUp(tree.size.get(row), V5.ALIGN) : 0) +
    (plan.xattrAreas[tree.xattrs.get(row)]?.length ?? 0)
  );
};

/** How many chunks a file has; 0 for everything else. */
export const chunksOf = (tree: Tree, row: number): number =>
  tree.isType(row, 'file') ? tree.chunkCount.get(row) : 0;

/**
 * Plans a bootstrap; needs `prepareDigests`. LIMIT for what the format or its readers cannot hold.
 *
 * Directories of size 0 get the size that their children give them; others keep theirs.
 */
export const planV5 = (
  tree: Tree,
  chunks: ChunkTable,
  blobs: readonly BlobInfo[],
  { chunkSize, flags, prefetch = [] }: PlanOptionsV5,
): PlanV5 => {
  sizeDirectories(tree);
  const xattrAreas = tree.xattrSets.map(set => set && encodeXattrsV5(set));
  const numbered = number(tree);
  const { rows } = numbered;
  const prefetchInos = findPrefetch(tree, numbered, prefetch);
  const blobTable = encodeBlobTable(blobs);

  const prefetchOffset = V5.SUPER_SIZE + alignUp(4 * rows.length, V5.ALIGN);
  const blobOffset = prefetchOffset + alignUp(4 * prefetchInos.length, V5.ALIGN);
  const extendedBlobOffset = blobOffset + blobTable.length;
  const inodesOffset = extendedBlobOffset + ExtendedBlobEntryV5.size * blobs.length;
  const laid = layOut({ tree, xattrAreas, ...numbered }, inodesOffset);
  const digester = flags & SuperFlag.HASH_SHA256 ? 'sha256' : 'blake3';
  return {
    tree,
    chunks,
    blobs,
    chunkSize,
    flags: flags + (rows.some(row => tree.xattrs.get(row) !== 0) ? SuperFlag.HAS_XATTR : 0),
    ...numbered,
    ...laid,
    digests: digestInodes(tree, chunks, numbered, digester),
    xattrAreas,
    prefetch: prefetchInos,
    blobTable,
    prefetchOffset,
    blobOffset,
    extendedBlobOffset,
    inodesOffset,
  };
};

/**
 * Sets the size of directories that have none yet. In a layer that is laid over others, the size
 * counts only the names of that layer, so this must be called before that.
 */
export const sizeDirectories = (tree: Tree): void => {
  const stack = [tree.root];
  for (let row = stack.pop(); row !== undefined; row = stack.pop()) {
    const from = stack.length;
    let size = 0;
    tree.childrenInto(stack, row);
    let kept = from;
    for (let i = from; i < stack.length; i++) {
      const child = stack[i]!;
      size += tree.nameSize(child) + DIRENT_SIZE;
      if (tree.isType(child, 'directory')) stack[kept++] = child;
    }
    stack.length = kept;
    if (tree.size.get(row) === 0) {
      tree.size.data[row] = Math.max(DIRECTORY_UNIT, alignUp(size, DIRECTORY_UNIT));
    }
  }
};

/** Numbers all names: the children of a directory, then those of each directory in it. */
const number = (tree: Tree): Numbered => {
  const { children, childStart, childCount: countOf } = sortChildren(tree);
  const rows = new Uint32Array(tree.count);
  const ino = new Uint32Array(tree.count);
  const parent = new Uint32Array(tree.count);
  const nlink = new Uint32Array(tree.count);
  const childIndex = new Uint32Array(tree.count);
  const childCount = new Uint32Array(tree.count);
  const names = new Uint32Array(tree.sourceCount); // how many an inode has, by source number
  const first = new Uint32Array(tree.sourceCount); // the place of the first of them
  let repeated = 0;

  rows[0] = tree.root;
  ino[0] = V5.ROOT;
  let next = 1;
  const stack = [0];
  for (let directory = stack.pop(); directory !== undefined; directory = stack.pop()) {
    const row = rows[directory]!;
    const start = next;
    childIndex[directory] = start + 1; // even without children
    childCount[directory] = countOf[row]!;
    nlink[directory] = 2;
    for (let i = 0; i < countOf[row]!; i++) {
      const child = children[childStart[row]! + i]!;
      const place = next++;
      rows[place] = child;
      ino[place] = place + 1;
      parent[place] = ino[directory]!;
      nlink[place] = 1;
      if (tree.isType(child, 'directory')) {
        nlink[directory]!++;
        continue;
      }
      const source = tree.source.get(child);
      if (names[source]!++ === 0) first[source] = place;
      else {
        ino[place] = ino[first[source]!]!;
        repeated++;
      }
    }
    for (let place = next - 1; place >= start; place--) {
      if (tree.isType(rows[place]!, 'directory')) stack.push(place);
    }
  }
  for (let place = 0; place < next; place++) {
    const row = rows[place]!;
    if (!tree.isType(row, 'directory')) nlink[place] = names[tree.source.get(row)]!;
  }
  return {
    rows: rows.subarray(0, next),
    ino,
    parent,
    nlink,
    childIndex,
    childCount,
    inodeCount: next - repeated,
  };
};

/** Numbers of the inodes at those of the paths that exist. Empty files are left out. */
const findPrefetch = (
  tree: Tree,
  { rows, ino }: Numbered,
  prefetch: readonly string[],
): number[] => {
  const found = prefetch
    .map(path => tree.find(path.replace(/^\/+/, '')))
    .filter(row => row >= 0 && !(tree.isType(row, 'file') && tree.size.get(row) === 0));
  if (found.length === 0) return [];
  const wanted = new Set(found);
  const inoOf = new Map<number, number>();
  rows.forEach((row, place) => wanted.has(row) && inoOf.set(row, ino[place]!));
  return found.map(row => inoOf.get(row)!);
};

/** Each id with the range that is to be read ahead; no NUL follows the last id. */
const encodeBlobTable = (blobs: readonly BlobInfo[]): Buffer => {
  const pieces = blobs.flatMap(({ id, readaheadOffset = 0, readaheadSize = 0 }, i) => {
    if (id === '' || id.includes('\0')) {
      throw new RafsError('LIMIT', `blob id '${id}' does not fit in the blob table`);
    }
    return [
      BlobHeadV5.encode({ readaheadOffset, readaheadSize }),
      Buffer.from(i + 1 < blobs.length ? `${id}\0` : id, 'latin1'),
    ];
  });
  const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return Buffer.concat(pieces, alignUp(size, V5.ALIGN));
};

/** Places the records: a directory, then all that is in it, child by child. */
const layOut = (
  plan: Pick<PlanV5, 'tree' | 'xattrAreas' | 'rows' | 'childIndex' | 'childCount'>,
  inodesOffset: number,
): Pick<PlanV5, 'order' | 'offset8' | 'size'> => {
  const { tree, rows, childIndex, childCount } = plan;
  const order = new Uint32Array(rows.length);
  const offset8 = new Uint32Array(rows.length);
  let end = inodesOffset;
  let count = 0;
  const stack = [0];
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    const row = rows[place]!;
    order[count++] = place;
    offset8[place] = end / V5.ALIGN;
    end += headSize(plan, row) + ChunkRecord.size * chunksOf(tree, row);
    if (end > V5.MAX_SIZE) {
      throw new RafsError('LIMIT', `the bootstrap would have more than ${V5.MAX_SIZE} bytes`);
    }
    const firstChild = childIndex[place]! - 1;
    for (let i = childCount[place]! - 1; i >= 0; i--) stack.push(firstChild + i);
  }
  return { order, offset8, size: end };
};

/**
 * Digests of all inodes: of a file over the digests of its chunks, of a symlink over its target, of
 * a directory over the digests of its children, of everything else over nothing.
 */
const digestInodes = (
  tree: Tree,
  chunks: ChunkTable,
  { rows, childIndex, childCount }: Numbered,
  digester: Digester,
): Buffer => {
  const digests = Buffer.alloc(DIGEST_SIZE * rows.length);
  const ofNothing = digest(digester, NOTHING);
  // children have higher places than their directory, and lie side by side
  for (let place = rows.length - 1; place >= 0; place--) {
    const row = rows[place]!;
    let made = ofNothing;
    if (tree.isType(row, 'directory') && childCount[place]! > 0) {
      const from = DIGEST_SIZE * (childIndex[place]! - 1);
      made = digest(digester, digests.subarray(from, from + DIGEST_SIZE * childCount[place]!));
    } else if (tree.isType(row, 'symlink')) {
      made = digest(digester, Buffer.from(tree.target(row), 'latin1'));
    } else if (chunksOf(tree, row) > 0) {
      made = digest(digester, chunkDigests(tree, chunks, row));
    }
    made.copy(digests, DIGEST_SIZE * place);
  }
  return digests;
};

const chunkDigests = (tree: Tree, chunks: ChunkTable, row: number): Buffer => {
  const first = tree.firstChunk.get(row);
  const count = tree.chunkCount.get(row);
  if (count === 1) return chunks.digest(chunks.lists.get(first));
  const joined = Buffer.alloc(DIGEST_SIZE * count);
  for (let i = 0; i < count; i++) {
    chunks.digest(chunks.lists.get(first + i)).copy(joined, DIGEST_SIZE * i);
  }
  return joined;
};
