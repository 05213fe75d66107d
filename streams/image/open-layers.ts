/** Opens the images that a build builds on: a parent, and a chunk dictionary. */
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { chunkDictPath, loadChunkDict, type ChunkDict } from '../../lib/image/chunk-dict.js';
import { inconsistency, type Settings } from '../../lib/bootstrap/settings.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { loadImage, type LoadedImage } from '../../lib/image/load-image.js';
import { imageOf, type Image, type ImageInput } from './read-image.js';

/** Reads an image; any failure becomes the cause of an error with `message` and the path. */
export const openLayer = async (input: ImageInput, message: string): Promise<Image> => {
  const quoted = typeof input === 'string' ? ` ${JSON.stringify(input)}` : '';
  return failingWith(`${message}${quoted}`, () => imageOf(input));
};

/** The parent of a build with these settings. Fails with UNSUPPORTED if it has others. */
export const openParent = async (path: string, due: Settings): Promise<LoadedImage> => {
  const message = 'failed to load parent bootstrap';
  const { bootstrap } = await openLayer(path, message);
  checkSettings(due, bootstrap, path);
  await prepareDigests();
  return failingWith(`${message} ${JSON.stringify(path)}`, () => loadImage(bootstrap));
};

/**
 * The chunk dictionary that `--chunk-dict` names, for a build with these settings. Fails with
 * UNSUPPORTED if it has others; with another digest algorithm, it is empty.
 */
export const openChunkDict = async (given: string, due: Settings): Promise<ChunkDict> => {
  const path = chunkDictPath(given);
  const message = 'failed to open bootstrap file';
  const { bootstrap } = await openLayer(path, message);
  checkSettings(due, bootstrap, path);
  return failingWith(`${message} ${JSON.stringify(path)}`, () =>
    loadChunkDict(bootstrap, due.digester),
  );
};

const checkSettings = (due: Settings, bootstrap: Bootstrap, file: string): void => {
  const why = inconsistency(due, bootstrap);
  if (why) throw new RafsError('UNSUPPORTED', why, { file });
};

/** Runs `work`; its failure becomes the cause of an error with `message`. */
export const failingWith = async <T>(message: string, work: () => T | Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (cause) {
    throw new Error(message, { cause });
  }
};
