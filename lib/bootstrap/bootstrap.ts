/**
 * The view of a bootstrap that every reader uses, whichever version of RAFS it is.
 *
 * An image is one Buffer. Inodes are decoded on demand and not kept, so a walk over a million of
 * them holds the image and a few bits per inode.
 */
import type { Compressor } from '../compress/compressors.js';
import type { Digester } from '../crypto/digest.js';
import { located, RafsError } from '../errors.js';
import type { BlobInfo, Chunk, EntryType } from '../model/parts.js';

export type InodeType = Exclude<EntryType, 'hardlink'>;

/** A blob as the bootstrap describes it; `index` is its place in the blob table. */
export interface BlobRecord extends BlobInfo {
  index: number;
  /** the id in the table; `id` may have been replaced by one taken from a file's name */
  storedId: string;
  cipher: number;
  /** if the blob is a layer that the image only refers to: the file with bootstrap and metadata */
  metaFile?: string;
  /** first block of the blob in the address space of the block device; v6 only, else 0 */
  mappedBlkaddr: number;
  /** the range of the blob that is to be read ahead; v5 only, else 0 */
  readaheadOffset: number;
  readaheadSize: number;
  /** the image states neither the blob's size nor its number of chunks; old v5 only */
  uncounted?: boolean;
}

export interface Inode {
  /** how the image names the inode: nid in v6, inode number in v5 */
  id: number;
  type: InodeType;
  /** with the type bits */
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNsec: number;
  size: number;
  nlink: number;
  /** units of 512 bytes */
  blocks: number;
  /** of a device; otherwise 0, or in v5 whatever the source had */
  rdev: number;
  hasXattr: boolean;
  /** a tar has this name as a hardlink, or as the target of one; v5 only */
  hardlink?: boolean;
  /** for a file, its chunks; for other types except directories, whatever the format counts */
  chunkCount: number;
  /** position of a directory's first child in v5, else 0 */
  childIndex: number;
  /** the length of a symlink's target, cut to 16 bits */
  symlinkSize: number;
}

export interface Child {
  name: string;
  /** what to give to `inode`; in v5 each further name of a file has an id of its own */
  id: number;
}

/** A chunk of a file, and where its bytes lie. */
export interface StoredChunk extends Chunk {
  /** of the uncompressed bytes; all zero where the image has none */
  digest: Buffer;
  blobIndex: number;
  index: number;
  compressedOffset: number;
  compressedSize: number;
  uncompressedOffset: number;
  compressed: boolean;
  encrypted: boolean;
  /** CRC-32C of the uncompressed bytes */
  crc32?: number;
  /** file offset in the chunk table: that of one of the chunk's uses, or 0; v6 only */
  recordedOffset?: number;
}

/** Position and size of a table of the image, in bytes. */
export interface TablePlace {
  offset: number;
  size: number;
}

/**
 * An image. Nothing is returned unchecked: any method fails with CORRUPT if the bytes that it reads
 * make no sense.
 */
export interface Bootstrap {
  readonly version: 5 | 6;
  readonly flags: number;
  readonly chunkSize: number;
  /** 4096, or 512 where the blobs are tars */
  readonly blockSize: number;
  readonly compressor: Compressor;
  readonly digester: Digester;
  readonly tarfs: boolean;
  readonly blobs: readonly BlobRecord[];
  /** as the superblock states it */
  readonly inodeCount: number;
  readonly rootId: number;
  /** every id is below this */
  readonly idLimit: number;
  /** the most that an image of this size can hold if nothing in it is used twice */
  readonly limits: { names: number; chunks: number };
  /** inodes to read ahead, in the order of their patterns */
  readonly prefetch: readonly number[];
  readonly tables: { blob: TablePlace; prefetch: TablePlace; chunk: TablePlace };
  inode(id: number): Inode;
  /** The children of a directory in byte order; `parentId` is what its '..' must say. */
  children(dir: Inode, parentId: number): Iterable<Child>;
  /** The chunks of a file, in order and without gaps. */
  chunks(file: Inode): Iterable<StoredChunk>;
  /** Values by full name, in their order on disk. */
  xattrs(inode: Inode): ReadonlyMap<string, Buffer>;
  symlinkTarget(symlink: Inode): string;
  /** every name of a file has an inode of its own, and these should agree; v5 only */
  readonly recordPerName?: boolean;
  /** Fails with MISMATCH if the digest of an inode is wrong; needs `prepareDigests`. */
  verifyRecord?(inode: Inode): void;
  /** All records of the chunk table, without file offsets; absent where the format has no table. */
  chunkRecords?(): Iterable<StoredChunk>;
}

/** One name in the tree. */
export interface Visit {
  /** components joined by '/', without a leading one; '' is the root */
  path: string;
  name: string;
  /** of the child; `inode` has another id only if this is a further name of a v5 file */
  id: number;
  inode: Inode;
  parentId: number;
  /** an earlier name has the same inode */
  repeated: boolean;
}

/** Longer paths are refused: only something like a chain of a million directories has them. */
const MAX_PATH = 0x10000;

/** A set of ids. */
export class IdSet {
  #bits: Uint8Array;

  constructor(limit: number) {
    this.#bits = new Uint8Array(Math.ceil(limit / 8));
  }

  has(id: number): boolean {
    return (this.#bits[Math.floor(id / 8)]! & (1 << (id % 8))) !== 0;
  }

  /** Returns false if the id was there already. */
  add(id: number): boolean {
    if (this.has(id)) return false;
    this.#bits[Math.floor(id / 8)]! |= 1 << (id % 8);
    return true;
  }
}

/**
 * Every name of the tree, parents before children, children in byte order.
 *
 * CORRUPT if a directory has two names or lies within itself, if an inode with one link has two
 * names, or if directories or files share their tables so often that even a small image would
 * never be walked to its end.
 */
export function* walk(bootstrap: Bootstrap): Iterable<Visit> {
  const { limits } = bootstrap;
  const seen = new IdSet(bootstrap.idLimit);
  let names = 0;
  let chunks = 0;
  const root = bootstrap.inode(bootstrap.rootId);
  seen.add(root.id);
  yield { path: '', name: '', id: root.id, inode: root, parentId: root.id, repeated: false };
  const open = [
    { id: root.id, prefix: '', children: bootstrap.children(root, root.id)[Symbol.iterator]() },
  ];
  for (let top = open.at(-1); top; top = open.at(-1)) {
    const { id: parentId, prefix, children } = top;
    const next = atPath(prefix, () => children.next());
    if (next.done) {
      open.pop();
      continue;
    }
    const { name, id } = next.value;
    const path = prefix + name;
    if (path.length > MAX_PATH) {
      throw new RafsError('LIMIT', `a path of more than ${MAX_PATH} bytes`, {
        path: `/${path.slice(0, 64)}`,
      });
    }
    const inode = atPath(path, () => bootstrap.inode(id));
    const repeated = !seen.add(inode.id);
    if (repeated && inode.nlink === 1) {
      throw new RafsError('CORRUPT', `inode ${id} has two names and one link`, {
        path: `/${path}`,
      });
    }
    names += 1;
    if (!repeated && inode.type === 'file') chunks += inode.chunkCount;
    if (names > limits.names || chunks > limits.chunks) {
      const most = `${limits.names} names and ${limits.chunks} chunks fit`;
      throw new RafsError('CORRUPT', `${names} names and ${chunks} chunks, where ${most}`, {
        path: `/${path}`,
      });
    }
    if (inode.type === 'directory') {
      if (repeated) {
        throw new RafsError('CORRUPT', `directory ${id} has two names`, { path: `/${path}` });
      }
      yield { path, name, id, inode, parentId, repeated };
      const grandchildren = atPath(path, () =>
        bootstrap.children(inode, parentId)[Symbol.iterator](),
      );
      open.push({ id, prefix: `${path}/`, children: grandchildren });
    } else {
      yield { path, name, id, inode, parentId, repeated: repeated && inode.type === 'file' };
    }
  }
}

/** Runs `work` and adds the path to an error that it throws. */
export const atPath = <T>(path: string, work: () => T): T => {
  try {
    return work();
  } catch (error) {
    throw located(error, { path: `/${path}` });
  }
};
