/** The blobs of an image, and the files that a build writes. */

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

/** Whether a bootstrap that lists these blobs has the key of one in it. */
export const holdsKey = (blobs: readonly BlobInfo[]): boolean =>
  blobs.some(({ cipherIv }) => cipherIv !== undefined);
