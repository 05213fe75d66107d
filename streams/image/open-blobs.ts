/** Opens all blobs of an image, for work that reads them from end to end. */
import type { Writable } from 'node:stream';
import { RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { countingReader, type ReaderAt } from '../io/reader-at.js';
import { refuseSameFile } from '../files/same-file.js';
import {
  blobFilesIn,
  isOwnPlace,
  openBlob,
  openTables,
  type BlobLocation,
} from './blob-location.js';
import type { Image } from './read-image.js';

/** The blobs of an image, all open. */
export interface OpenBlobs {
  /** by blob index */
  blobs: ReadonlyMap<number, ReaderAt>;
  /** tables of blobs that are original layers, by blob index */
  tables: ReadonlyMap<number, ReaderAt>;
  close(): Promise<void>;
}

/** Fails if an output would replace the image that is read, or one of its blobs. */
export const refuseOverwriting = (
  output: string | Writable,
  { bootstrap, bytes, path }: Image,
  place: BlobLocation,
): void => {
  if (typeof output !== 'string') return;
  const read = bytes ? [] : [{ name: 'the image', path }];
  for (const blob of bootstrap.blobs) {
    for (const file of blobFilesIn(blob, place)) read.push({ name: `blob ${blob.id}`, path: file });
  }
  refuseSameFile([{ name: 'the output', path: output }], read);
};

/** Opens every blob, and counts the bytes that are read. Fails if one is missing. */
export const openBlobs = async (
  image: Image,
  place: BlobLocation,
  counters: { bytesIn: number },
): Promise<OpenBlobs> => {
  const blobs = new Map<number, ReaderAt>();
  const tables = new Map<number, ReaderAt>();
  const close = async (): Promise<void> => {
    for (const source of [...blobs.values(), ...tables.values()]) await source.close();
  };
  try {
    for (const blob of image.bootstrap.blobs) {
      blobs.set(blob.index, countingReader(await openBlob(blob, place), counters));
      // chunks of a gzip layer cannot be found without its tables
      if (!(blob.features & BlobFeature.ZRAN)) continue;
      tables.set(blob.index, countingReader(await openTables(blob, place, image), counters));
    }
    return { blobs, tables, close };
  } catch (error) {
    await close();
    throw error;
  }
};

/** Fails if the blobs are to be read from the image's own file and one is elsewhere for certain. */
export const refuseExternal = (image: Image, place: BlobLocation, advice: string): void => {
  if (!isOwnPlace(place, image)) return;
  for (const { id, features } of image.bootstrap.blobs) {
    if (!(features & BlobFeature.EXTERNAL)) continue;
    throw new RafsError('UNSUPPORTED', `${advice} must say where an external blob is`, {
      blob: id,
    });
  }
};
