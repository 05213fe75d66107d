/** Where options and configuration files say that an image's blobs are, and how to open them. */
import { dirname, join } from 'node:path';
import { parseBackend, parseStorageConfig, type Backend } from '../../lib/config/backends.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import { located, RafsError } from '../../lib/errors.js';
import { isFileName, shown } from '../../lib/model/names.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { openReaderAt, readerOf, type ReaderAt } from '../io/reader-at.js';
import { readSmallFile } from '../io/small-file.js';
import type { Storage } from '../storage/storage.js';
import { openStorage } from '../storage/open-storage.js';
import { openImageFile, type Image } from './read-image.js';

/** At most one of these is set. */
export interface BlobLocation {
  /** a directory of blobs, named by their ids */
  blobDir?: string;
  /** one file, whatever the id */
  blobFile?: string;
  /** the bytes of one, whatever the id */
  blobBytes?: Buffer;
  storage?: Storage;
}

/** The files in which a blob, and the tables of one that is an original layer, may be. */
export const blobFilesIn = (
  blob: BlobRecord,
  { blobDir, blobFile, blobBytes, storage }: BlobLocation,
): string[] => {
  if (blobBytes || storage) return [];
  const directory = blobDir ?? dirname(blobFile ?? '');
  const tables = blob.features & BlobFeature.SEPARATE ? tablesNameOf(blob) : undefined;
  return [
    ...(blobFile === undefined ? [] : [blobFile]),
    ...[blobFile === undefined ? blob.id : undefined, tables]
      .filter(name => name !== undefined && isFileName(name))
      .map(name => join(directory, shown(name!))),
  ];
};

/** Opens a blob. Fails with the system's error if there is no file, or as the storage does. */
export const openBlob = async (
  blob: BlobRecord,
  { blobDir, blobFile, blobBytes, storage }: BlobLocation,
): Promise<ReaderAt> => {
  if (blobBytes) return readerOf(blobBytes, blob.id);
  if (blobFile !== undefined) return openReaderAt(blobFile);
  // an id comes from the image: it must not lead out of the directory
  if (!isFileName(blob.id)) {
    throw new RafsError('CORRUPT', `invalid file name '${blob.id}'`, { blob: blob.index });
  }
  if (storage) return storage.open(blob.id);
  return openReaderAt(join(blobDir ?? '', shown(blob.id)));
};

const tablesNameOf = ({ metaDigest, metaFile }: BlobRecord): string | undefined =>
  metaDigest.some(byte => byte !== 0) ? metaDigest.toString('hex') : metaFile;

/**
 * Opens the tables of an original layer: those in the image itself, if they are inlined there; else
 * a file or object named by its sha256, with the blobs, or beside the given file.
 */
export const openTables = async (
  blob: BlobRecord,
  { blobDir, blobFile, storage }: BlobLocation,
  image: Pick<Image, 'inlined' | 'path' | 'bytes'>,
): Promise<ReaderAt> => {
  if (image.inlined && blob.features & BlobFeature.INLINED_FS_META) return openImageFile(image);
  const name = tablesNameOf(blob);
  if (name === undefined) {
    throw new RafsError('UNSUPPORTED', 'the image does not say where the tables of a layer are', {
      blob: blob.id,
    });
  }
  if (storage) return storage.open(name);
  return openReaderAt(join(blobDir ?? dirname(blobFile ?? ''), name));
};

/**
 * What a function is told about blobs: a directory where they are named by their ids, another place,
 * or what finds the place when the image is known.
 */
export type BlobsInput = string | BlobLocation | ((image: Image) => BlobPlace | Promise<BlobPlace>);

type BlobPlace = string | BlobLocation | undefined;

/** Where the blobs of an image are: as given, or in its own file, or unknown. */
export const placeOf = async (
  blobs: BlobsInput | undefined,
  image: Image,
): Promise<BlobLocation | undefined> => {
  if (blobs === undefined) return image.inlined ? ownPlace(image) : undefined;
  const place = typeof blobs === 'function' ? await blobs(image) : blobs;
  return typeof place === 'string' ? { blobDir: place } : place;
};

/** The same for work that is nothing without the blobs. */
export const requirePlace = async (
  blobs: BlobsInput | undefined,
  image: Image,
): Promise<BlobLocation> => {
  const place = await placeOf(blobs, image);
  if (place) return place;
  throw new RafsError('USAGE', 'the option blobs must say where the blobs of the image are', {
    file: image.path,
  });
};

/** The file of an image as the place of its blob. */
const ownPlace = ({ bytes, path }: Image): BlobLocation =>
  bytes ? { blobBytes: bytes } : { blobFile: path };

/** Whether the place is nothing but the file of the image. */
export const isOwnPlace = (
  { blobFile, blobBytes }: BlobLocation,
  { bytes, path }: Image,
): boolean => (blobBytes ? blobBytes === bytes : blobFile === path);

/** The place that a storage configuration describes. Opens nothing yet. */
export const storagePlace = async (backend: Backend): Promise<BlobLocation> => {
  if (backend.type === 'localfs') {
    if (backend.blobFile !== '') return { blobFile: backend.blobFile };
    if (backend.altDirs.length === 0) return { blobDir: backend.dir };
  }
  return { storage: await openStorage(backend) };
};

/** Options of commands for storages. */
export interface BackendValues {
  readonly 'backend-type'?: string | undefined;
  readonly 'backend-config'?: string | undefined;
  readonly 'backend-config-file'?: string | undefined;
}

/** The place that `--backend-type` and its companions describe; undefined if not given. */
export const backendLocation = async (values: BackendValues): Promise<BlobLocation | undefined> => {
  const backend = await backendOf(values);
  return backend && storagePlace(backend);
};

/** The storage that these options describe; undefined if not given. */
export const backendOf = async ({
  'backend-type': type,
  'backend-config': text,
  'backend-config-file': file,
}: BackendValues): Promise<Backend | undefined> => {
  if (type === undefined) return undefined;
  if (file !== undefined) {
    const config = await readText(file).catch((cause: unknown) => {
      throw new Error(`fail to read backend config file ${JSON.stringify(file)}`, { cause });
    });
    return backendIn(type, parseJson(config, { file }), { file });
  }
  if (text === undefined) {
    const message = '--backend-config or --backend-config-file must be specified';
    throw new RafsError('UNSUPPORTED', message);
  }
  const option = { option: '--backend-config' };
  return backendIn(type, parseJson(text, option), option);
};

/** The place by the first of these options that was given; undefined if none was. */
export const givenLocation = async ({
  backend,
  blobDir,
  config,
}: {
  backend?: BackendValues | undefined;
  blobDir?: string | undefined;
  config?: string | undefined;
}): Promise<BlobLocation | undefined> => {
  const storage = backend && (await backendLocation(backend));
  if (storage) return storage;
  if (blobDir !== undefined) return { blobDir };
  return config === undefined ? undefined : readConfig(config);
};

const backendIn = (
  type: string,
  config: unknown,
  at: Readonly<Record<string, string>>,
): Backend => {
  try {
    return parseBackend(type, config);
  } catch (error) {
    throw located(error, at);
  }
};

/** Where a configuration file says the blobs are, and whether to verify their data. */
export const readConfig = async (path: string): Promise<BlobLocation & { validate: boolean }> => {
  const config = await readDocument(path);
  try {
    const { validate, backend } = parseStorageConfig(config);
    return { validate, ...(backend ? await storagePlace(backend) : {}) };
  } catch (error) {
    throw located(error, { file: path });
  }
};

const MAX_CONFIG = 0x10_0000;

/** A configuration file, in JSON or TOML. */
export const readDocument = async (path: string): Promise<unknown> => {
  const text = await readText(path);
  try {
    return JSON.parse(text);
  } catch {
    // it may be TOML
  }
  const { parse } = await import('smol-toml');
  try {
    return parse(text);
  } catch {
    // parser errors quote the text they fail at, which may be a secret
    const message = 'failed to parse configuration information: it is neither JSON nor TOML';
    throw new RafsError('UNSUPPORTED', message, { file: path });
  }
};

const readText = async (path: string): Promise<string> => {
  try {
    return (await readSmallFile(path, MAX_CONFIG)).toString('utf8');
  } catch (error) {
    if (!(error instanceof RafsError && error.code === 'LIMIT')) throw error;
    throw new RafsError('LIMIT', 'configuration file size is too big', { file: path });
  }
};

const parseJson = (text: string, at: Readonly<Record<string, string>>): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    throw new RafsError('UNSUPPORTED', 'the configuration of the storage is not valid JSON', at);
  }
};
