import type { BlobFile } from './blob-file.js';

/**
 * The parts that flow between stages, and what they carry.
 *
 * Names and paths are bytes, held as latin1 strings: one character a byte, `<` is byte order.
 */

/** Type of a file-system object. A hardlink is one more name of a regular file seen earlier. */
export type EntryType =
  'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo' | 'socket';

/** One file-system object of a layer, as its source describes it. */
export interface Entry {
  /** components joined by '/', without a leading one; '' is the root */
  path: string;
  type: EntryType;
  /** permission bits, 07777 */
  mode: number;
  uid: number;
  gid: number;
  /** whole seconds since 1970 */
  mtime: number;
  mtimeNsec: number;
  /** bytes of content that follow; 0 unless a file */
  size: number;
  /** target of a symlink verbatim, of a hardlink as a path like `path` */
  target?: string;
  /** device number as in Linux' 32-bit dev_t; 0xffffffff where the source has none */
  rdev: number;
  /** by full name, such as 'user.x' */
  xattrs?: ReadonlyMap<string, Buffer>;
  /** offset of the content in the (uncompressed) source, where it lies there in one run */
  dataOffset?: number;
}

/** A slice of a file, cut and not yet looked at. */
export interface Chunk {
  fileOffset: number;
  uncompressedSize: number;
}

export interface NamedChunk extends Chunk {
  digest: Buffer;
  crc32: number; // CRC-32C
  /** number of the chunk among the distinct ones of this build, from 0 */
  ordinal: number;
  /** an earlier chunk has this ordinal: nothing is stored for this one */
  known: boolean;
}

/** A chunk whose bytes are as they will be stored. */
export interface PackedChunk extends NamedChunk {
  compressed: boolean;
}

export interface PlacedChunk extends PackedChunk {
  blobIndex: number;
  index: number;
  compressedOffset: number;
  compressedSize: number;
  uncompressedOffset: number;
}

/**
 * The files that a build may write: the blob; the bootstrap; the bootstrap of external files, or
 * the blob that it is inlined in; the blob's chunks and its blob meta as nydusd would cache them.
 */
export type Artifact =
  'blob' | 'bootstrap' | 'external' | 'external-blob' | 'cache-data' | 'cache-meta';

/** A blob as the blob table of a bootstrap describes it. Digests are sha256. */
export interface BlobInfo {
  /** 64 hex digits, or what --blob-id says */
  id: string;
  chunkSize: number;
  chunkCount: number;
  compressor: number;
  digester: number;
  features: number;
  compressedSize: number;
  uncompressedSize: number;
  tocSize: number;
  tocDigest: Buffer;
  ciCompressor: number;
  ciOffset: number;
  ciCompressedSize: number;
  ciUncompressedSize: number;
  metaDigest: Buffer;
  metaSize: number;
}

/** Bytes of the source; `offset` is where they lie in it, after decompression. */
export interface BytesPart {
  kind: 'bytes';
  offset: number;
  bytes: Buffer;
}
export interface EntryPart {
  kind: 'entry';
  entry: Entry;
}
/** A piece of the content of the entry before it. */
export interface DataPart {
  kind: 'data';
  bytes: Buffer;
}
/** The entry is complete. */
export interface EndPart {
  kind: 'end';
}
export interface ChunkPart<C extends Chunk = Chunk> {
  kind: 'chunk';
  chunk: C;
  bytes: Buffer;
}
/** The data of the blob are complete; `blob` describes it, where the build has new chunks at all. */
export interface BlobPart {
  kind: 'blob';
  blob: BlobInfo | undefined;
  file: BlobFile;
}
/** Bytes to append to an artifact. */
export interface SectionPart {
  kind: 'section';
  artifact: Artifact;
  bytes: Buffer;
}
/**
 * The artifact is complete; `name` is its file name where it is stored in a directory. Without one
 * nothing is stored there.
 */
export interface FinishPart {
  kind: 'finish';
  artifact: Artifact;
  name: string | undefined;
}

/** What was built, as the last part of a build. */
export interface ImagePart {
  kind: 'image';
  image: BuiltImage;
}
export interface BuiltImage {
  /** ids of all blobs of the table */
  blobs: readonly string[];
  /** compressed size of the last of them, 0 without blobs */
  blobSize: number;
  entryCount: number;
}
