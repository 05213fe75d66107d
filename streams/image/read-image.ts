/** Opens images: a bootstrap file, or a blob that contains its bootstrap. */
import { basename } from 'node:path';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { sha256 } from '../../lib/crypto/digest.js';
import { located, RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { unpackSection } from '../../lib/blob/toc.js';
import { openReaderAt, readerOf, type ReaderAt } from '../io/reader-at.js';
import { findBootstrap } from '../read/bootstrap-place.js';

export interface Image {
  bootstrap: Bootstrap;
  /** the bytes of the bootstrap */
  image: Buffer;
  /** of the file; of an image that was given as bytes, their sha256 */
  path: string;
  /** the whole file, if it was given as bytes */
  bytes?: Buffer;
  /** the file is a blob, and the bootstrap was found in it */
  inlined: boolean;
  /** bytes of the file */
  fileSize: number;
}

/** The file has to fit in memory. */
const MAX_BOOTSTRAP = 2 ** 31 - 1;

/**
 * Reads and parses an image. A blob that contains its own bootstrap cannot contain its id, which is
 * taken from the file's name, up to the first dot.
 */
export const readImage = async (path: string): Promise<Image> => {
  const source = await openReaderAt(path);
  try {
    return await readImageAt(source, path);
  } finally {
    await source.close();
  }
};

/** What an image is given as: a path, bytes, or one that has been read. */
export type ImageInput = string | Uint8Array | Image;

/** Reads an image unless that has been done. */
export const imageOf = async (input: ImageInput): Promise<Image> => {
  if (typeof input === 'string') return readImage(input);
  if (input instanceof Uint8Array) {
    const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    const name = sha256(bytes).toString('hex');
    return { ...(await readImageAt(readerOf(bytes, name), name)), bytes };
  }
  // programs without types may give anything
  if (typeof input === 'object' && 'bootstrap' in input) return input;
  throw new RafsError('USAGE', 'an image must be given as a path, as bytes, or as it was read');
};

/** Reads the file of an image anew. */
export const openImageFile = async ({
  bytes,
  path,
}: Pick<Image, 'bytes' | 'path'>): Promise<ReaderAt> =>
  bytes ? readerOf(bytes, path) : openReaderAt(path);

/** The same for a file that is open. */
export const readImageAt = async (source: ReaderAt, path: string): Promise<Image> => {
  try {
    const { image, inlined } = await readBootstrap(source);
    const bootstrap = parseBootstrap(image);
    const fileId = fileIdOf(path);
    for (const blob of bootstrap.blobs) {
      // an external blob is not this file, though nydus-image marks it like the blob that is
      if (blob.features & BlobFeature.EXTERNAL) continue;
      const old = inlined && !(blob.features & BlobFeature.CAP_TAR_TOC);
      // a layer that is only referenced has its own id, whatever the name of the file beside it
      const kin = BlobFeature.INLINED_FS_META | BlobFeature.SEPARATE;
      if (old || (blob.features & kin) === BlobFeature.INLINED_FS_META) blob.id = fileId;
      else if ((blob.features & kin) === kin) blob.metaFile = fileId;
    }
    return { bootstrap, image, path, inlined, fileSize: source.size };
  } catch (error) {
    throw located(error, { file: path });
  }
};

/** A file's name up to its first dot: the id of the blob that it is, or whose bootstrap it has. */
export const fileIdOf = (path: string): string =>
  Buffer.from(basename(path).replace(/\..*$/s, '')).toString('latin1');

const readBootstrap = async (source: ReaderAt): Promise<{ image: Buffer; inlined: boolean }> => {
  const { section, inlined } = await findBootstrap(source);
  const { offset, size } = section;
  if (size > MAX_BOOTSTRAP) {
    throw new RafsError('LIMIT', `a bootstrap of ${size} bytes is too large`);
  }
  if (inlined) await prepareCompressors();
  return { image: unpackSection(section, await source.read(offset, size)), inlined };
};
