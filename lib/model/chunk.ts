/** A chunk on its way into a blob: its type says how far it has come. */

/** A slice of a file, whose bytes have not been looked at yet. */
export interface Chunk {
  fileOffset: number;
  uncompressedSize: number;
  /** all of it lies in a hole, and it is as large as chunks are: all such chunks are the same */
  hole?: boolean;
}

/** A chunk of a gzip layer that the image refers to. */
export interface LayerChunk extends Chunk {
  zran: ZranExtent;
}

/** Where a chunk lies in a gzip layer: what to read of the layer, and its place in a context. */
export interface ZranExtent {
  inOffset: number;
  inSize: number;
  /** number of the context */
  context: number;
  /** in the output of the context */
  offset: number;
}

/** A place where inflating a gzip layer can start, and how much is inflated from there. */
export interface ZranContextInfo {
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
  zran?: ZranExtent;
}

export interface NamedChunk extends HashedChunk {
  /** number among the distinct chunks of the image, from 0: first a parent's, then by first use */
  uniqueIndex: number;
  /** the image or the chunk dictionary has this chunk already, so nothing is stored for it */
  known: boolean;
  /** its row in the chunk dictionary, if it is the first chunk with that unique index */
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
