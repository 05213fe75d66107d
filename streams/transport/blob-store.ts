/** Where blobs of images go that are not kept in a registry: a directory, or a bucket. */
import { mkdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Backend, BucketBackend, LocalFsBackend } from '../../lib/config/backends.js';
import { RafsError } from '../../lib/errors.js';
import { parseDigest } from '../../lib/oci/descriptor.js';
import { openOutputInDirectory } from '../io/open-output.js';
import { Spool } from '../io/spool.js';
import { openObjectStore } from '../storage/object-store.js';
import { DigestTee } from './digest-tee.js';
import type { PutOptions } from './target.js';

/** Blobs by their ids, without any image that names them. */
export interface BlobStore {
  /** Whether a blob need not be sent. */
  has(blob: { digest: string; size?: number }): Promise<boolean>;
  /** Stores a blob while it is being made. */
  put(bytes: AsyncIterable<Buffer>, options: PutOptions): Promise<{ digest: string; size: number }>;
  close(): Promise<void>;
}

export interface BlobStoreOptions {
  /** send blobs that are there, too */
  force?: boolean;
  /** what is written is on the disk before it gets its name; default: true */
  fsync?: boolean;
  signal?: AbortSignal;
}

/**
 * Opens a storage for writing. UNSUPPORTED for one that can only be read.
 *
 * @example
 * ```js
 * import { convertImage, openBlobStore, openImageSource, openImageTarget } from 'rafs-stream';
 *
 * const source = await openImageSource('oci:image:t');
 * const target = await openImageTarget('oci:stored:t');
 * const blobs = openBlobStore({ type: 'localfs', dir: 'store', blobFile: '', altDirs: [] });
 * console.log((await convertImage({ source, target, blobs })).digest);
 * await Promise.all([blobs.close(), source.close(), target.close()]);
 * ```
 */
export const openBlobStore = (backend: Backend, options: BlobStoreOptions = {}): BlobStore => {
  switch (backend.type) {
    case 'localfs':
      return directoryStore(backend, options);
    case 's3':
    case 'oss':
      return bucketStore(backend, options);
    default:
      throw new RafsError('UNSUPPORTED', `blobs cannot be written to a ${backend.type} storage`);
  }
};

const idOf = (digest: string): string => parseDigest(digest).hex;

/** Blobs are for everyone who starts a container. */
const FILE_MODE = 0o666;

/** Files named by blob id, each of which appears when it is complete. */
const directoryStore = (
  { dir }: LocalFsBackend,
  { force = false, fsync }: BlobStoreOptions,
): BlobStore => {
  if (dir === '') {
    throw new RafsError('UNSUPPORTED', "a localfs storage needs 'dir' for blobs to be written to");
  }
  return {
    async has({ digest, size }) {
      if (force) return false;
      const found = await stat(path.join(dir, idOf(digest))).catch(() => undefined);
      return found?.isFile() === true && (size === undefined || found.size === size);
    },
    async put(bytes, options) {
      await mkdir(dir, { recursive: true });
      const tee = new DigestTee(options);
      const output = await openOutputInDirectory(dir, { mode: FILE_MODE, fsync });
      if (options.secret) output.restrict?.();
      try {
        for await (const piece of tee.pass(bytes)) await output.write([piece]);
        const id = idOf(tee.result.digest);
        if (force) await rm(path.join(dir, id), { force: true });
        await output.finish(id);
      } finally {
        await output.abandon();
      }
      return tee.result;
    },
    close: () => Promise.resolve(),
  };
};

/**
 * Objects named by blob id. A name is known when the blob has ended: until then it is spooled, 16
 * MiB of it in memory, more in an unnamed file.
 */
const bucketStore = (
  backend: BucketBackend,
  { force = false, signal: own }: BlobStoreOptions,
): BlobStore => {
  const objects = openObjectStore(backend);
  const never = new AbortController().signal;
  const has = async (
    { digest, size }: { digest: string; size?: number },
    signal: AbortSignal,
  ): Promise<boolean> => {
    if (force) return false;
    const found = await objects.size(idOf(digest), signal);
    return found !== undefined && (size === undefined || found === size);
  };
  return {
    has: blob => has(blob, own ?? never),
    async put(bytes, options) {
      const signal = options.signal ?? own ?? never;
      const tee = new DigestTee(options);
      const spool = new Spool(tmpdir());
      try {
        for await (const piece of tee.pass(bytes)) await spool.write([piece]);
        const { digest, size } = tee.result;
        if (!(await has(tee.result, signal))) {
          await objects.put(idOf(digest), size, spool.read(), signal);
        }
      } finally {
        await spool.close();
      }
      return tee.result;
    },
    close: () => objects.close(),
  };
};
