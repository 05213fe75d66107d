/**
 * The file-system objects of a layer.
 *
 * Names and paths are bytes, held as latin1 strings: one character per byte, and `<` is byte order.
 */

/** Type of a file-system object. A hardlink is one more name of a file seen earlier. */
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

/** Where the content of an external file lies: in an existing blob, uncompressed and in one run. */
export interface ExternalExtent {
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
