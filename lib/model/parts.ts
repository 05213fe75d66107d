import type { BlobFile } from '../blob/blob-file.js';

/**
 * The parts that flow between stages, and what they carry.
 *
 * Names and paths are bytes, held as latin1 strings: one character per byte, and `<` is byte order.
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
  /** offset of the content in the (uncompressed) source, if it lies there in one run */
  dataOffset?: number;
}

/** A slice of a file, whose bytes have not been looked at yet. */
export interface Chunk {
  fileOffset: number;
  uncompressedSize: number;
}

/** A chunk of a gzip layer that the image refers to. */
export interface LayerChunk extends Chunk {
  zran: ZranPlace;
}

/** Where a chunk lies in a gzip layer: what to read of the layer, and its place in a context. */
export interface ZranPlace {
  inOffset: number;
  inSize: number;
  /** number of the context */
  context: number;
  /** in the output of the context */
  offset: number;
}

/** A place where inflating a gzip layer can start, and how much is inflated from there. */
export interface ZranContextFacts {
  /** in the layer */
  inOffset: number;
  /** in what the layer inflates to */
  outOffset: number;
  inSize: number;
  outSize: number;
  /** how many bits of `byte`, the one before `inOffset`, are still to be read, from its top */
  bits: number;
  byte: number;
}

/** A chunk whose bytes have been hashed. */
export interface HashedChunk extends Chunk {
  digest: Buffer;
  crc32: number; // CRC-32C
  /** of a gzip layer's chunk */
  zran?: ZranPlace;
}

export interface NamedChunk extends HashedChunk {
  /** number among the distinct chunks of the image, from 0: first a parent's, then by first use */
  ordinal: number;
  /** the image or the chunk dictionary has this chunk already, so nothing is stored for it */
  known: boolean;
  /** its row in the chunk dictionary, if it is the first chunk with that ordinal */
  dictRow?: number;
  /** its place in a batch, if it is stored in one and not by itself */
  batch?: { context: number; offset: number };
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
  encrypted?: boolean;
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
  /** 16 bytes, if the blob is encrypted; `metaDigest` is then its key */
  cipherIv?: Buffer;
  /** the range of this blob that is to be read ahead; v5 only */
  readaheadOffset?: number;
  readaheadSize?: number;
}

/** Where the content of an external file lies: in an existing blob, uncompressed and in one run. */
export interface ExternalPlace {
  /** in the blob table of the image */
  blobIndex: number;
  blobId: string;
  blobSize: number;
  /** bytes of every chunk but the last */
  chunkSize: number;
  /** of the file, in the blob */
  offset: number;
  /** CRC-32C of every chunk, or none */
  crcs: readonly number[];
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
/**
 * A complete entry of the image of external files. `place` is there for a file with content, but
 * not for its further names.
 */
export interface ExternalPart {
  kind: 'external';
  entry: Entry;
  place?: ExternalPlace;
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
/** A batch: the chunks that came before it with its context number, one after another. */
export interface BatchPart {
  kind: 'batch';
  uncompressedSize: number;
  bytes: Buffer;
}
/** The data of the blob are complete; `blob` describes it, if the build has any new chunks. */
export interface BlobPart {
  kind: 'blob';
  blob: BlobInfo | undefined;
  file: BlobFile;
  /** the layer that holds the data, unchanged, if these are not in `file` */
  layer?: { id: string; size: number };
  /** the id of `blob`, if it is not known yet */
  lateId?: Promise<string>;
}
/** All of a source that the image refers to has come: as it is or, in Tarfs, decompressed. */
export interface LayerPart {
  kind: 'layer';
  size: number;
  /** sha256 in hex; undefined if none was asked for, or if it is in `late` */
  digest: string | undefined;
  late?: Promise<string>;
}
/** The next context of a gzip layer, now complete; the chunks that lie in it have come before. */
export interface ContextPart {
  kind: 'context';
  context: ZranContextFacts;
  /** up to 32 KiB of output that come before its own */
  dictionary: Buffer;
}
/** Bytes to append to an artifact. */
export interface SectionPart {
  kind: 'section';
  artifact: Artifact;
  bytes: Buffer;
}
/**
 * The artifact is complete; `name` is its file name if it is stored in a directory. Without a name,
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
  /** ids of all blobs in the table, and of one that has nothing but the inlined bootstrap */
  blobs: readonly string[];
  /** of the bootstrap of external files */
  externalBlobs?: readonly string[];
  /** compressed size of the last of `blobs`, 0 without blobs */
  blobSize: number;
  entryCount: number;
}
