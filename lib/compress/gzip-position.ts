/** Places in a gzip stream. */

/** Where an inflater stands: bytes of the layer it has used, and bytes it has made. */
export interface GzipPosition {
  inOffset: number;
  outOffset: number;
}

/** The start of a gzip member's content, or the end of a deflate block. */
export interface GzipBoundary extends GzipPosition {
  /** how many bits of the last byte used, from its top, are still to be read */
  bits: number;
  /** that byte; 0 without such bits */
  byte: number;
  /** the last 32 KiB of output, less if the member has made less; its memory may be reused */
  window: Buffer;
}
