/** What a bootstrap says of inodes, chunks and blobs, whichever version of RAFS it is. */

import type { BlobInfo } from './blob.js';
import type { Chunk } from './chunk.js';
import type { EntryType } from './entry.js';

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
  /** where the record of the chunk lies in the image; absent in images of tars, which have none */
  recordAt?: number;
}

/** Position and size of a table of the image, in bytes. */
export interface TableExtent {
  offset: number;
  size: number;
}
