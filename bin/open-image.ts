/** Opens images: a bootstrap file, or a blob that has its bootstrap in it; and the blobs it names. */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { BlobRecord, Bootstrap } from '../lib/bootstrap.js';
import { prepareCompressors } from '../lib/compress.js';
import { located, RafsError } from '../lib/errors.js';
import { BlobFeature, Section } from '../lib/layout/blob.js';
import { isBootstrap, parseBootstrap } from '../lib/image.js';
import { sectionsOfTail, tailSize, unpackSection } from '../lib/toc.js';
import { openBytes, type RandomBytes } from '../streams/random-bytes.js';

export interface Image {
  bootstrap: Bootstrap;
  /** the bytes of the bootstrap */
  image: Buffer;
  path: string;
  /** the file is a blob, and the bootstrap was found in it */
  inlined: boolean;
}

/** The file has to fit in memory. */
const MAX_BOOTSTRAP = 2 ** 31 - 1;
const HEAD_SIZE = 4096;

/**
 * Reads and parses an image. Blobs that hold their own bootstrap cannot know their id: it is taken
 * from the file's name, up to the first dot.
 */
export const openImage = async (path: string): Promise<Image> => {
  const source = await openBytes(path);
  try {
    const { image, inlined } = await readBootstrap(source);
    const bootstrap = parseBootstrap(image);
    const fileId = fileIdOf(path);
    for (const blob of bootstrap.blobs) {
      // one that others have made is not this file, though nydus-image marks it like the blob that is
      if (blob.features & BlobFeature.EXTERNAL) continue;
      const old = inlined && !(blob.features & BlobFeature.CAP_TAR_TOC);
      // a layer that is only referenced has its own id, whatever the file beside it is called
      const kin = BlobFeature.INLINED_FS_META | BlobFeature.SEPARATE;
      if (old || (blob.features & kin) === BlobFeature.INLINED_FS_META) blob.id = fileId;
      else if ((blob.features & kin) === kin) blob.metaFile = fileId;
    }
    return { bootstrap, image, path, inlined };
  } catch (error) {
    throw located(error, { file: path });
  } finally {
    await source.close();
  }
};

/** The name of a file up to its first dot: the id of the blob that it is, or has the bootstrap of. */
export const fileIdOf = (path: string): string =>
  Buffer.from(basename(path).replace(/\..*$/s, '')).toString('latin1');

const readBootstrap = async (source: RandomBytes): Promise<{ image: Buffer; inlined: boolean }> => {
  const head = await source.read(0, Math.min(HEAD_SIZE, source.size));
  if (isBootstrap(head)) {
    if (source.size > MAX_BOOTSTRAP) {
      throw new RafsError('LIMIT', `a bootstrap of ${source.size} bytes`);
    }
    return { image: await source.read(0, source.size), inlined: false };
  }
  const size = tailSize(source.size);
  const sections = sectionsOfTail(await source.read(source.size - size, size), source.size);
  const boot = sections?.find(({ name }) => name === Section.BOOT);
  if (!boot) throw new RafsError('CORRUPT', 'invalid RAFS superblock');
  if (boot.size > MAX_BOOTSTRAP) throw new RafsError('LIMIT', `a bootstrap of ${boot.size} bytes`);
  await prepareCompressors();
  const image = unpackSection(boot, await source.read(boot.offset, boot.size));
  return { image, inlined: true };
};

/** Where the bytes of blobs are. */
export interface BlobPlace {
  /** a directory of blobs, named by their ids */
  blobDir?: string;
  /** one file, whatever the id */
  blobFile?: string;
}

/** Opens the file of a blob. Fails as the system does where there is none. */
export const openBlob = async (
  blob: BlobRecord,
  { blobDir, blobFile }: BlobPlace,
): Promise<RandomBytes> => {
  if (blobFile !== undefined) return openBytes(blobFile);
  // an id comes from the image: it must not lead out of the directory
  if (/^\.{0,2}$|[/\0]/.test(blob.id)) {
    throw new RafsError('CORRUPT', `'${blob.id}' is no file name`, { blob: blob.index });
  }
  return openBytes(join(blobDir ?? '', Buffer.from(blob.id, 'latin1').toString('utf8')));
};

/**
 * Opens the file with the tables of a layer that stays as it is: the image itself, if it is inlined
 * there; else a file named by its sha256, with the blobs, or beside the one that is named.
 */
export const openTables = async (
  blob: BlobRecord,
  { blobDir, blobFile }: BlobPlace,
  { inlined, path }: Pick<Image, 'inlined' | 'path'>,
): Promise<RandomBytes> => {
  if (inlined && blob.features & BlobFeature.INLINED_FS_META) return openBytes(path);
  const digest = blob.metaDigest.some(byte => byte !== 0) && blob.metaDigest.toString('hex');
  const name = digest || blob.metaFile;
  if (name === undefined) {
    throw new RafsError('UNSUPPORTED', 'the image does not say where the tables of a layer are', {
      blob: blob.id,
    });
  }
  return openBytes(join(blobDir ?? dirname(blobFile ?? ''), name));
};

/**
 * What a configuration file says of local blobs, and whether data are to be verified.
 * UNSUPPORTED where the blobs are elsewhere, or the file is not JSON.
 */
export const readConfig = async (path: string): Promise<BlobPlace & { validate: boolean }> => {
  const text = await readFile(path, 'utf8');
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw new RafsError('UNSUPPORTED', `not JSON: ${(error as Error).message}`, { file: path });
  }
  const device = at(config, 'device');
  const backend = at(config, 'backend') ?? at(device, 'backend');
  const local = at(backend, 'localfs') ?? at(backend, 'config');
  const type = at(backend, 'type');
  if (backend !== undefined && type !== 'localfs') {
    throw new RafsError('UNSUPPORTED', `backend '${String(type)}'`, { file: path });
  }
  const validate = [
    at(at(config, 'cache'), 'validate'),
    at(at(config, 'rafs'), 'validate'),
    at(at(device, 'cache'), 'validate'),
    at(config, 'digest_validate'),
  ];
  const blobFile = at(local, 'blob_file');
  const blobDir = at(local, 'dir');
  return {
    validate: validate.includes(true),
    ...(typeof blobFile === 'string' && blobFile !== '' ? { blobFile } : {}),
    ...(typeof blobDir === 'string' && blobDir !== '' ? { blobDir } : {}),
  };
};

const at = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[key] // any key of an object may be asked for
    : undefined;
