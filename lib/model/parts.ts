import type { BlobInfo, Artifact } from './blob.js';
import type { Chunk, ZranContextInfo } from './chunk.js';
import type { Entry, ExternalExtent } from './entry.js';

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
  place?: ExternalExtent;
}
/** A piece of the content of the entry before it. */
export interface DataPart {
  kind: 'data';
  bytes: Buffer;
}
/** Zeros of any size: of the content of the entry before it, or of a disk. */
export interface HolePart {
  kind: 'hole';
  size: number;
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
export interface ChunkBatchPart {
  kind: 'batch';
  uncompressedSize: number;
  bytes: Buffer;
}
/** The data of the blob are complete; `blob` describes it, if the build has any new chunks. */
export interface BlobPart {
  kind: 'blob';
  blob: BlobInfo | undefined;
  /** the layer that holds the data, unchanged, if the blob itself does not */
  layer?: { id: string; size: number };
  /** the id of `blob`, if it is not known yet */
  pendingId?: Promise<string>;
}
/** All of a source that the image refers to has come: as it is or, in Tarfs, decompressed. */
export interface LayerPart {
  kind: 'layer';
  size: number;
  /** sha256 in hex; undefined if none was asked for, or if it is `pending` */
  digest: string | undefined;
  pending?: Promise<string>;
}
/** The next context of a gzip layer, now complete; the chunks that lie in it have come before. */
export interface ContextPart {
  kind: 'context';
  context: ZranContextInfo;
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
  /** it holds a secret, such as the key of encrypted blobs */
  secret?: boolean;
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
