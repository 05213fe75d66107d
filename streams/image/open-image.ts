/** An image to look at: its tree, its files and its blobs. */
import { Readable } from 'node:stream';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { walk } from '../../lib/bootstrap/walk.js';
import { compressorName } from '../../lib/compress/compressors.js';
import type { Digester } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { usageOf } from '../../lib/image/compact.js';
import { loadImage } from '../../lib/image/load-image.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import { held, shown } from '../../lib/model/names.js';
import type { Inode, InodeType } from '../../lib/model/stored.js';
import type { RafsVersion } from '../../lib/model/version.js';
import type { BlobsInput } from './blob-location.js';
import { FileReader } from './file-reader.js';
import { imageOf, type Image, type ImageInput } from './read-image.js';

/** Options of {@link openImage}. */
export interface OpenImageOptions {
  /** where the blobs are, if files are to be read; default: in the image's file */
  blobs?: BlobsInput | undefined;
}

/** A name in an image. */
export interface ImageEntry {
  /** from the root: 'etc/motd'; '' is the root itself */
  path: string;
  /** the same as it is stored, for names that are not UTF-8 */
  pathBytes: Buffer;
  /** names with the same id are one inode */
  id: number;
  type: InodeType;
  /** permissions, with the bits for setuid, setgid and sticky */
  mode: number;
  uid: number;
  gid: number;
  /** bytes of a file, or of a symlink's target */
  size: number;
  /** seconds since 1970 */
  mtime: number;
  mtimeNsec: number;
  nlink: number;
  /** of a device */
  rdev: number;
  /** of a symlink */
  target: string | undefined;
  xattrs: ReadonlyMap<string, Buffer>;
}

/** A blob of an image. */
export interface ImageBlob {
  id: string;
  compressor: Compressor;
  /** bytes as it is stored; 0 if the image does not say */
  compressedSize: number;
  /** bytes of its chunks when they are unpacked */
  uncompressedSize: number;
  /** chunks that it has; 0 if the image does not say */
  chunkCount: number;
  /** distinct chunks of it that the image uses */
  usedChunks: number;
  /** bytes of these as they are stored */
  usedSize: number;
}

/**
 * Opens an image: a bootstrap, or a blob with its bootstrap. Blobs are opened when a file is read.
 *
 * @example
 * ```js
 * import { text } from 'node:stream/consumers';
 * import { createImage, openImage } from 'rafs-stream';
 *
 * await createImage({ source: 'layer.tar.gz', bootstrap: 'open.boot', blobDir: '.' });
 * const image = await openImage('open.boot', { blobs: '.' });
 * for (const { type, path, size } of image.walk()) console.log(type, path, size);
 * console.log(image.list('etc').map(({ path }) => path));
 * console.log(await text(image.readFile('etc/motd')));
 * await image.close();
 * ```
 */
export const openImage = async (
  input: ImageInput,
  { blobs }: OpenImageOptions = {},
): Promise<OpenedImage> => {
  const image = await imageOf(input);
  return new OpenedImage(image, new FileReader(image, blobs));
};

/**
 * An image that {@link openImage} has opened. Paths are UTF-8, or bytes as they are stored; they
 * start at the root, with or without a slash, and symlinks are not followed. Whatever reads the
 * image fails with CORRUPT if it makes no sense there.
 */
export class OpenedImage {
  readonly fsVersion: RafsVersion;
  readonly chunkSize: number;
  readonly compressor: Compressor;
  readonly digester: Digester;
  /** the image is an index into plain tars, which are its blobs */
  readonly tarfs: boolean;
  /** inodes, as the superblock says */
  readonly inodeCount: number;
  readonly #bootstrap: Bootstrap;
  readonly #files: FileReader;

  /** @internal */
  constructor({ bootstrap }: Image, files: FileReader) {
    this.#bootstrap = bootstrap;
    this.#files = files;
    this.fsVersion = bootstrap.version;
    this.chunkSize = bootstrap.chunkSize;
    this.compressor = bootstrap.compressor;
    this.digester = bootstrap.digester;
    this.tarfs = bootstrap.tarfs;
    this.inodeCount = bootstrap.inodeCount;
  }

  /** All names, parents before children, in the order of their bytes. */
  *walk(): Generator<ImageEntry, void> {
    for (const { inode, path } of walk(this.#bootstrap)) yield this.#entry(inode, path);
  }

  /** The children of a directory. USAGE if there is no such directory. */
  list(path: string | Uint8Array = ''): ImageEntry[] {
    const { inode, parentId, path: found } = this.#require(path, 'directory');
    const prefix = found === '' ? '' : `${found}/`;
    return [...this.#bootstrap.children(inode, parentId)].map(({ name, id }) =>
      this.#entry(this.#bootstrap.inode(id), prefix + name),
    );
  }

  /** What a path leads to; undefined if it leads nowhere. */
  stat(path: string | Uint8Array): ImageEntry | undefined {
    const found = this.#find(path);
    return found && this.#entry(found.inode, found.path);
  }

  /**
   * The content of a file. Every chunk is verified before it comes: MISMATCH if one is wrong. USAGE
   * if there is no such file.
   */
  readFile(path: string | Uint8Array, { signal }: { signal?: AbortSignal } = {}): Readable {
    const { inode, path: found } = this.#require(path, 'file');
    return Readable.from(this.#files.read(inode, found), {
      objectMode: false,
      ...(signal ? { signal } : {}),
    });
  }

  /** All blobs, by blob index, and what the image uses of them. */
  blobs(): ImageBlob[] {
    const { chunks } = loadImage(this.#bootstrap);
    const usage = usageOf(chunks, this.#bootstrap.blobs.length);
    return this.#bootstrap.blobs.map((blob, i) => ({
      id: shown(blob.id),
      compressor: compressorName(blob.compressor),
      compressedSize: blob.compressedSize,
      uncompressedSize: blob.uncompressedSize,
      chunkCount: blob.chunkCount,
      usedChunks: usage[i]!.chunks,
      usedSize: usage[i]!.size,
    }));
  }

  /** Closes the blobs that were read from. */
  close(): Promise<void> {
    return this.#files.close();
  }

  #entry(inode: Inode, path: string): ImageEntry {
    const { id, type, mode, uid, gid, size, mtime, mtimeNsec, nlink, rdev } = inode;
    const isSymlink = type === 'symlink';
    return {
      path: shown(path),
      pathBytes: Buffer.from(path, 'latin1'),
      ...{ id, type, mode: mode & 0o7777, uid, gid, size, mtime, mtimeNsec, nlink, rdev },
      target: isSymlink ? shown(this.#bootstrap.symlinkTarget(inode)) : undefined,
      xattrs: new Map(this.#bootstrap.xattrs(inode)),
    };
  }

  #require(path: string | Uint8Array, type: 'file' | 'directory'): Found {
    const found = this.#find(path);
    const named = { path: `/${shown(held(path)).replace(/^\/+/, '')}` };
    if (!found) throw new RafsError('USAGE', 'there is no such file in the image', named);
    if (found.inode.type === type) return found;
    throw new RafsError('USAGE', `expected a ${type}, got a ${found.inode.type}`, named);
  }

  #find(given: string | Uint8Array): Found | undefined {
    const root = this.#bootstrap.inode(this.#bootstrap.rootId);
    let found: Found = { inode: root, parentId: root.id, path: '' };
    for (const name of held(given).split('/')) {
      if (name === '' || name === '.') continue;
      if (found.inode.type !== 'directory') return undefined;
      const child = this.#child(found, name);
      if (!child) return undefined;
      const path = found.path === '' ? name : `${found.path}/${name}`;
      found = { inode: this.#bootstrap.inode(child.id), parentId: found.inode.id, path };
    }
    return found;
  }

  #child({ inode, parentId }: Found, name: string): { id: number } | undefined {
    for (const child of this.#bootstrap.children(inode, parentId)) {
      if (child.name === name) return child;
    }
    return undefined;
  }
}

interface Found {
  inode: Inode;
  /** of the parent, which the '..' of a directory must say */
  parentId: number;
  path: string;
}
