/** Makes a disk image from a bootstrap and its blobs, with a dm-verity tree if requested. */
import path from 'node:path';
import { flagNames } from '../../lib/bootstrap/super-flags.js';
import { parseCacheEntry } from '../../lib/config/backends.js';
import { HASH_BLOCK } from '../../lib/device/verity.js';
import type { PackingName } from '../../lib/erofs/pclusters.js';
import { contextOf, located, RafsError } from '../../lib/errors.js';
import {
  readDocument,
  storagePlace,
  type BlobLocation,
} from '../../streams/image/blob-location.js';
import { exportImage, type ExportedImage } from '../../streams/image/export-image.js';
import { releaseFifo } from '../../streams/io/fifo.js';
import type { CommandContext, Run } from '../cli/context.js';
import { writeOutputJson } from '../console/output-json.js';
import { versionId } from '../version.js';

export interface ExportOptions {
  /** with `localfsDir` */
  bootstrap?: string | undefined;
  localfsDir?: string | undefined;
  /** file with a blob cache entry, instead of the two */
  config?: string | undefined;
  /** file, FIFO or '-'; default: a file in `localfsDir` */
  output?: string | undefined;
  /** EROFS's own compression; with none, data lies where the bootstrap maps it */
  compressor: 'none' | PackingName;
  verity: boolean;
  /** in hex */
  veritySalt?: string | undefined;
  veritySuperBlock: boolean;
  uuid: boolean;
  /** most threads to use; never more than there are cores */
  threads: number;
  outputJson?: string | undefined;
}

export const run: Run<'export'> = ({ values }, context) => {
  const { 'localfs-dir': localfsDir, 'output-json': outputJson, ...given } = values;
  const { 'verity-salt': veritySalt, 'verity-superblock': veritySuperBlock } = values;
  const names = { localfsDir, outputJson, veritySalt, veritySuperBlock };
  return exportBlock({ ...given, ...names }, context);
};

const exportBlock = async (options: ExportOptions, context: CommandContext): Promise<void> => {
  let opened = false;
  try {
    const { bootstrap, place, output } = await targetsOf(options);
    if (options.verity && isStdout(output)) {
      const message = '--verity prints to standard output: --output must be something else';
      throw new RafsError('USAGE', message);
    }
    opened = true;
    const { verity, threads, compressor } = options;
    const { log, signal, fsync } = context;
    const exported = await exportImage(bootstrap, {
      output,
      verity,
      veritySalt: saltOf(options.veritySalt),
      veritySuperBlock: options.veritySuperBlock,
      uuid: options.uuid,
      threads,
      compressor,
      blobs(image) {
        log.info(`RAFS features: ${flagNames(image.bootstrap.flags)}`);
        return place;
      },
      signal,
      fsync,
    }).catch((cause: unknown) => {
      if (cause instanceof RafsError && cause.code === 'USAGE') throw cause;
      const message = 'failed to export RAFS filesystem as raw block device image';
      throw located(new Error(message, { cause }), contextOf(cause));
    });
    if (exported.verity) await context.stdout(`${exported.verity.options}\n`);
    if (options.outputJson !== undefined) {
      writeOutputJson(options.outputJson, exportJson(output, exported), context);
    }
  } finally {
    if (!opened && options.output !== undefined) await releaseFifo(options.output);
  }
};

const saltOf = (text: string | undefined): Buffer | undefined => {
  if (text === undefined || /^(?:[0-9a-f]{2}){1,256}$/i.test(text)) {
    return text === undefined ? undefined : Buffer.from(text, 'hex');
  }
  throw new RafsError('USAGE', '--verity-salt is not 1 to 256 bytes in hex');
};

const isStdout = (target: string): boolean => target === '-' || target === '/dev/stdout';

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

const exportJson = (image: string, { size, blockSize, blocks, verity }: ExportedImage): string =>
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
              salt: Buffer.from(verity.plan.salt).toString('hex'),
              format: 1,
              data_block_size: blockSize,
              hash_block_size: HASH_BLOCK,
              data_blocks: verity.plan.blockCount,
              hash_offset: verity.plan.hashOffset,
              root_hash: verity.root,
              options: verity.options,
            },
          }
        : {}),
    },
    null,
    2,
  );
