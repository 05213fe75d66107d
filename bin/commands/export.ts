/** Makes a disk image from a bootstrap and its blobs, with a dm-verity tree if requested. */
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseCacheEntry } from '../../lib/config/backends.js';
import { blockMap } from '../../lib/device/block-map.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { located, contextOf, RafsError } from '../../lib/errors.js';
import { flagNames } from '../console/image-text.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { PackingName } from '../../lib/erofs/pclusters.js';
import { planVerity, verityOptions, HASH_BLOCK, type VerityPlan } from '../../lib/device/verity.js';
import { blockImage, piecePool } from '../../streams/device/block-image.js';
import {
  compressedImage,
  type CompressedImageOptions,
} from '../../streams/device/compressed-image.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import { ImageWriter } from '../../streams/device/image-writer.js';
import { openOutput } from '../../streams/io/open-output.js';
import type { ReaderAt } from '../../streams/io/reader-at.js';
import { spoolDirectory } from '../../streams/io/spool.js';
import { verityHasher } from '../../streams/device/verity-hasher.js';
import {
  openBlob,
  openTables,
  storagePlace,
  readDocument,
  type BlobLocation,
} from '../../streams/image/blob-location.js';
import type { CommandContext } from '../cli/context.js';
import { readImage, type Image } from '../../streams/image/read-image.js';
import { writeOutputJson } from '../console/output-json.js';
import { versionId } from '../version.js';

export interface ExportOptions {
  /** with `localfsDir` */
  bootstrap?: string;
  localfsDir?: string;
  /** file with a blob cache entry, instead of the two */
  config?: string;
  /** file, FIFO or '-'; default: a file in `localfsDir` */
  output?: string;
  /** EROFS's own compression; with none, data lies where the bootstrap maps it */
  compressor: 'none' | PackingName;
  verity: boolean;
  /** most threads to use; never more than there are cores */
  threads: number;
  outputJson?: string;
}

interface Exported {
  size: number;
  blockSize: number;
  blocks: number;
  verity?: { plan: VerityPlan; root: string };
}

const MOST_THREADS = 32;

export const exportBlock = async (
  options: ExportOptions,
  context: CommandContext,
): Promise<void> => {
  let opened = false;
  try {
    const { bootstrap, place, output } = await targetsOf(options);
    if (options.verity && isStdout(output)) {
      const message = '--verity prints to standard output: --output must be something else';
      throw new RafsError('USAGE', message);
    }
    opened = true;
    const exported = await write(bootstrap, place, output, options, context).catch(
      (cause: unknown) => {
        const message = 'failed to export RAFS filesystem as raw block device image';
        throw located(new Error(message, { cause }), contextOf(cause));
      },
    );
    const { verity } = exported;
    if (verity) await context.stdout(`${verityOptions(verity.plan, verity.root)}\n`);
    if (options.outputJson !== undefined) {
      writeOutputJson(options.outputJson, exportJson(output, exported));
    }
  } finally {
    if (!opened && options.output !== undefined) await releaseFifo(options.output);
  }
};

const isStdout = (target: string): boolean => target === '-' || target === '/dev/stdout';

/** Copies bootstrap and blobs to the output, which gets its name only when complete. */
const write = async (
  bootstrapPath: string,
  place: BlobLocation,
  target: string,
  { verity, threads, compressor }: ExportOptions,
  { log, signal }: CommandContext,
): Promise<Exported> => {
  const output = await openOutput(target, { signal });
  let disk: Disk | undefined;
  try {
    const image = await readImage(bootstrapPath);
    log.info(`RAFS features: ${flagNames(image.bootstrap.flags)}`);
    const directory = spoolDirectory(target);
    const width = Math.min(threads, MOST_THREADS, availableParallelism());
    disk = await (compressor === 'none'
      ? plainDisk(image, place)
      : compressedDisk(image, place, {
          packing: compressor,
          workers: width - 1, // this thread works, too
          directory,
          signal,
        }));
    const { size, blockSize, parts, pool } = disk;
    const writer = new ImageWriter(output);
    writer.written = pool;
    const plan = planVerity(size, blockSize);
    if (verity) {
      const hasher = verityHasher({ plan, threads: width, directory });
      await pipeline(parts, hasher, writer, { signal });
    } else {
      await pipeline(parts, writer, { signal });
    }
    await output.finish();
    const result = { size: verity ? plan.size : size, blockSize, blocks: size / blockSize };
    return verity ? { ...result, verity: { plan, root: writer.root! } } : result; // set by now
  } catch (error) {
    await output.abandon();
    throw error;
  } finally {
    await disk?.close();
  }
};

/** The image to write. */
interface Disk {
  size: number;
  blockSize: number;
  parts: Readable;
  /** pool that parts may have their bytes from */
  pool?: BufferPool;
  close(): Promise<void>;
}

const plainDisk = async (from: Image, place: BlobLocation): Promise<Disk> => {
  const { bootstrap, image } = from;
  const map = blockMap(bootstrap, image.length);
  const { size, blockSize } = map;
  const pool = piecePool();
  const parts = blockImage({
    bootstrap,
    image,
    map,
    open: index => openBlob(bootstrap.blobs[index]!, place),
    openTables: index => openTables(bootstrap.blobs[index]!, place, from),
    pool,
  });
  return { size, blockSize, parts, pool, close: async () => undefined };
};

const compressedDisk = async (
  image: Image,
  place: BlobLocation,
  options: Pick<CompressedImageOptions, 'packing' | 'workers' | 'directory' | 'signal'>,
): Promise<Disk> => {
  const { bootstrap } = image;
  const blobs = new Map<number, ReaderAt>();
  const tables = new Map<number, ReaderAt>();
  try {
    for (const blob of bootstrap.blobs) {
      blobs.set(blob.index, await openBlob(blob, place));
      // chunks of a gzip layer cannot be found without their tables
      if (!(blob.features & BlobFeature.ZRAN)) continue;
      tables.set(blob.index, await openTables(blob, place, image));
    }
    return await compressedImage({ bootstrap, blobs, tables, ...options });
  } finally {
    for (const source of [...blobs.values(), ...tables.values()]) await source.close();
  }
};

/** Where the image is read from and written to. */
const targetsOf = async ({
  bootstrap,
  localfsDir,
  config,
  output,
}: ExportOptions): Promise<{ bootstrap: string; place: BlobLocation; output: string }> => {
  if (localfsDir !== undefined && bootstrap !== undefined) {
    const name = `${path.basename(bootstrap)}.disk`;
    const place = { blobDir: localfsDir };
    return { bootstrap, place, output: output ?? path.join(localfsDir, name) };
  }
  if (config === undefined) {
    const message = 'both option `-C/--config` and `-D/--localfs-dir` are missing';
    throw new RafsError('UNSUPPORTED', message);
  }
  // the parser requires an output here
  return { ...(await readCacheEntry(config)), output: output! };
};

/** Reads a blob cache entry of either generation; the bootstrap is its metadata path. */
const readCacheEntry = async (
  file: string,
): Promise<{ bootstrap: string; place: BlobLocation }> => {
  const entry = await readDocument(file);
  try {
    const { metadataPath, backend } = parseCacheEntry(entry);
    return { bootstrap: metadataPath, place: await storagePlace(backend) };
  } catch (cause) {
    const message = 'invalid blob cache entry configuration information';
    throw new RafsError('UNSUPPORTED', message, { file }, { cause });
  }
};

const exportJson = (image: string, { size, blockSize, blocks, verity }: Exported): string =>
  JSON.stringify(
    {
      version: versionId(),
      image,
      size,
      block_size: blockSize,
      blocks,
      ...(verity
        ? {
            verity: {
              hash: 'sha256',
              salt: '',
              format: 1,
              data_block_size: blockSize,
              hash_block_size: HASH_BLOCK,
              data_blocks: verity.plan.blockCount,
              hash_offset: verity.plan.hashOffset,
              root_hash: verity.root,
              options: verityOptions(verity.plan, verity.root),
            },
          }
        : {}),
    },
    null,
    2,
  );
