/** Loads an image into what a writer of images works on: tree, chunk table and blob table. */
import { RAFS_VERSIONS } from '../model/version.js';
import { BlobTable, blobElsewhere } from '../bootstrap/blob-table.js';
import type { Bootstrap } from '../bootstrap/bootstrap.js';
import { verifyChunk } from '../bootstrap/verify.js';
import { atPath, walk } from '../bootstrap/walk.js';
import type { Inode, StoredChunk } from '../model/stored.js';
import { ChunkTable } from '../chunk/chunk-table.js';
import { Column, RowIndex } from '../memory/columns.js';
import { RafsError } from '../errors.js';
import { V6 } from '../layout/rafs-v6.js';
import type { InodeAttributes } from '../tree/inode-attributes.js';
import { Tree } from '../tree/tree.js';

/** An image to build on. */
export interface LoadedImage {
  bootstrap: Bootstrap;
  tree: Tree;
  chunks: ChunkTable;
  blobs: BlobTable;
}

/**
 * Loads an image: its tree at row 0, its blobs in their order. Fails as `loadTree` does. Needs
 * `prepareDigests`.
 */
export const loadImage = (bootstrap: Bootstrap): LoadedImage => {
  const tree = new Tree();
  const chunks = new ChunkTable({ named: !bootstrap.tarfs });
  const blobs = new BlobTable();
  const blobIndexes = bootstrap.blobs.map(blob => blobs.indexOf(blobElsewhere(blob)));
  loadTree(bootstrap, { tree, root: 0, chunks, blobIndexes });
  return { bootstrap, tree, chunks, blobs };
};

/**
 * Adds all inodes of an image below a root that has no children yet, and their chunks, each once.
 * `blobIndexes` has the index here of each blob of the image. To be called before anything is
 * inserted or built. Holds four bytes for every inode that the image may have. CORRUPT or MISMATCH if
 * `verify` would fail. Needs `prepareDigests`.
 */
export const loadTree = (
  bootstrap: Bootstrap,
  {
    tree,
    root,
    chunks,
    blobIndexes,
  }: { tree: Tree; root: number; chunks: ChunkTable; blobIndexes: readonly number[] },
): void => {
  const rowOf = new Uint32Array(bootstrap.idLimit); // of an inode's first name
  const distinct = new DistinctChunks(bootstrap, chunks);

  const loadChunks = (row: number, inode: Inode): void => {
    const first = chunks.lists.length;
    for (const chunk of bootstrap.chunks(inode)) {
      chunks.lists.push(distinct.rowOf(chunk, blobIndexes[chunk.blobIndex]!));
    }
    tree.setChunks(row, first, chunks.lists.length - first);
  };

  for (const { path, name, inode, parentId, repeated } of walk(bootstrap)) {
    atPath(path, () => {
      // what is written of it is made anew, and would hide that the image is damaged
      bootstrap.verifyRecord?.(inode);
      if (path === '') {
        tree.describe(root, factsOf(bootstrap, inode));
        rowOf[inode.id] = root;
        return;
      }
      const parent = rowOf[parentId]!;
      if (repeated) {
        if (bootstrap.recordPerName) {
          for (const chunk of bootstrap.chunks(inode)) verifyChunk(bootstrap, chunk);
        }
        const before = rowOf[inode.id]!;
        const row = tree.add(parent, name, factsOf(bootstrap, inode), tree.source.get(before));
        tree.setChunks(row, tree.firstChunk.get(before), tree.chunkCount.get(before));
        return;
      }
      const row = tree.add(parent, name, factsOf(bootstrap, inode));
      rowOf[inode.id] = row;
      if (inode.type === 'file') loadChunks(row, inode);
    });
  }
  tree.loadedCount = tree.count;
};

const factsOf = (bootstrap: Bootstrap, inode: Inode): InodeAttributes => ({
  mode: inode.mode,
  uid: inode.uid,
  gid: inode.gid,
  mtime: inode.mtime,
  mtimeNsec: inode.mtimeNsec,
  size: inode.size,
  rdev: inode.rdev,
  hardlink: inode.hardlink ?? false,
  ...(inode.hasXattr ? { xattrs: bootstrap.xattrs(inode) } : {}),
  ...(inode.type === 'symlink' ? { target: bootstrap.symlinkTarget(inode) } : {}),
});

/** Finds the row of a chunk by its place in the image: blob and index. */
class DistinctChunks {
  readonly #bootstrap: Bootstrap;
  readonly #chunks: ChunkTable;
  readonly #rows = new Column(Uint32Array);
  readonly #blobs = new Column(Uint16Array); // index in the image
  readonly #index = new RowIndex();

  constructor(bootstrap: Bootstrap, chunks: ChunkTable) {
    this.#bootstrap = bootstrap;
    this.#chunks = chunks;
  }

  rowOf(chunk: StoredChunk, blobIndex: number): number {
    const chunks = this.#chunks;
    const hash = hashOf(chunk.blobIndex, chunk.index);
    const found = this.#index.find(
      hash,
      n =>
        this.#blobs.get(n) === chunk.blobIndex &&
        chunks.index.get(this.#rows.get(n)) === chunk.index,
    );
    if (found >= 0) {
      const row = this.#rows.get(found);
      const same =
        chunks.uncompressedOffset.get(row) === chunk.uncompressedOffset &&
        chunks.uncompressedSize.get(row) === chunk.uncompressedSize &&
        chunks.compressedOffset.get(row) === chunk.compressedOffset &&
        chunks.compressedSize.get(row) === chunk.compressedSize;
      if (same) return row;
      throw new RafsError('CORRUPT', `chunk ${chunk.index} has two locations`, {
        blob: this.#bootstrap.blobs[chunk.blobIndex]!.id,
      });
    }
    checkChunk(this.#bootstrap, chunk);
    verifyChunk(this.#bootstrap, chunk);
    const row = chunks.addStored(chunk, blobIndex);
    chunks.recordedOffset.push(chunk.recordedOffset ?? chunk.fileOffset);
    this.#rows.push(row);
    this.#blobs.push(chunk.blobIndex);
    this.#index.add(hash, this.#rows.length - 1);
    return row;
  }
}

const hashOf = (blobIndex: number, index: number): number => {
  const h = Math.imul(index ^ (blobIndex << 24), 0x9e3779b1);
  return (h ^ (h >>> 15)) >>> 0;
};

/** Checks what writers rely on; CORRUPT if it does not hold. */
export const checkChunk = (bootstrap: Bootstrap, chunk: StoredChunk): void => {
  const { index, uncompressedOffset } = chunk;
  const blob = bootstrap.blobs[chunk.blobIndex]!.id;
  if (index > V6.MAX_CHUNK_INDEX)
    throw new RafsError('CORRUPT', `invalid chunk index ${index}`, { blob });
  if (
    RAFS_VERSIONS[bootstrap.version].alignsChunks &&
    uncompressedOffset % bootstrap.blockSize !== 0
  ) {
    throw new RafsError(
      'CORRUPT',
      `chunk ${index} at ${uncompressedOffset} is not aligned to a block`,
      {
        blob,
      },
    );
  }
};
