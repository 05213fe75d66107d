/**
 * An image that is made from another one: its new blobs and its bootstrap lie in a folder of their
 * own until all have been read back and verified, and only then get their names.
 */
import { createReadStream, existsSync, rmSync } from 'node:fs';
import { mkdir, rename, rm, symlink, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PlannedBootstrap } from '../../lib/bootstrap/bootstrap-options.js';
import { RafsError } from '../../lib/errors.js';
import { isFileName, shown } from '../../lib/model/names.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import { openArtifacts, type ArtifactPart } from '../build/artifact-writer.js';
import { separateBootstrap } from '../build/bootstrap-finalizer.js';
import { flushDirectory } from '../files/flush.js';
import { removeLeftovers } from '../files/leftovers.js';
import { temporaryName } from '../files/temporary-name.js';
import type { Output } from '../io/output.js';
import type { BlobLocation } from '../image/blob-location.js';
import { checkImage } from '../image/check-image.js';
import { withSignal, type RunOptions } from '../image/run-options.js';

export interface StagedImage {
  /** writes a blob whose last part is the finish that names it */
  addBlob(parts: Readable): Promise<void>;
  writeBootstrap(planned: PlannedBootstrap): Promise<void>;
  /**
   * Reads everything back: the tree, the tables, and every chunk of the available blobs, including
   * those that stay in files at `place`. Fails as `checkImage` does.
   */
  verify(blobs: readonly BlobInfo[], place: BlobLocation): Promise<void>;
  /** Gives the blobs their names, then the bootstrap; leaves nothing new behind if that fails. */
  publish(made: readonly BlobInfo[], bootstrap: Output): Promise<void>;
}

/** Makes an image whose new blobs go to a directory. Nothing else is left there. */
export const stageImage = async <T>(
  directory: string,
  { log, signal, fsync = true }: Pick<RunOptions, 'log' | 'signal' | 'fsync'>,
  work: (staged: StagedImage) => Promise<T>,
): Promise<T> => {
  await removeLeftovers(directory);
  const folder = temporaryName(directory);
  const blobDir = join(folder, 'blobs');
  const bootstrapPath = join(folder, 'bootstrap');
  const vanish = (): void => rmSync(folder, { recursive: true, force: true });
  let secret = false;
  process.on('exit', vanish); // also if the process is stopped
  try {
    await mkdir(folder, { mode: 0o700 });
    await mkdir(blobDir);
    return await work({
      async addBlob(parts) {
        const writer = await openArtifacts({ blob: { directory: blobDir } }, { signal, fsync });
        await pipeline(parts, writer, withSignal(signal));
      },
      async writeBootstrap(planned) {
        ({ secret } = planned);
        const targets = { bootstrap: { path: bootstrapPath } };
        const writer = await openArtifacts(targets, { signal, fsync: false }); // to be copied
        await pipeline(Readable.from(bootstrapParts(planned)), writer, withSignal(signal));
      },
      async verify(blobs, place) {
        for (const { id, metaDigest } of blobs) {
          for (const name of [fileName(id), metaDigest.toString('hex')]) {
            if (place.storage) continue;
            const source = resolve(place.blobFile ?? join(place.blobDir ?? '', name));
            const isHere = existsSync(join(blobDir, name));
            if (!isHere && existsSync(source)) await symlink(source, join(blobDir, name));
          }
        }
        // blobs that stay may be elsewhere, and have names of their own
        await checkImage(bootstrapPath, {
          ...{ blobs: blobDir, partial: true, anyBlobId: true, log, signal },
        });
        signal?.throwIfAborted();
      },
      async publish(made, bootstrap) {
        const named: string[] = [];
        try {
          for (const { id } of made) {
            const target = join(directory, id);
            const isNew = !existsSync(target);
            await rename(join(blobDir, id), target);
            if (isNew) named.push(target);
          }
          for await (const bytes of createReadStream(bootstrapPath)) {
            await bootstrap.write([bytes as Buffer]); // no encoding is set
          }
          if (secret) bootstrap.restrict?.();
          if (fsync) await flushDirectory(directory);
          await bootstrap.finish();
        } catch (error) {
          for (const path of named) await unlink(path);
          throw error;
        }
      },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
    process.off('exit', vanish);
  }
};

function* bootstrapParts(planned: PlannedBootstrap): Iterable<ArtifactPart[]> {
  for (const part of separateBootstrap('bootstrap', planned)) yield [part];
}

/** An id comes from the image: it must not lead out of a directory. */
const fileName = (id: string): string => {
  if (!isFileName(id)) throw new RafsError('CORRUPT', `invalid file name '${id}'`);
  return shown(id);
};
