/** Turns a bootstrap and its blobs back into a tar. */
import { readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { loadedText } from '../console/image-text.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { BytesPart } from '../../lib/model/parts.js';
import { blobReader, contentPool } from '../../streams/read/blob-reader.js';
import { chunkVerifier } from '../../streams/read/chunk-verifier.js';
import { lingerFifo } from '../../streams/io/fifo.js';
import { openOutput } from '../../streams/io/open-output.js';
import type { Output } from '../../streams/io/output.js';
import type { ReaderAt } from '../../streams/io/reader-at.js';
import type { Batch } from '../../streams/batch.js';
import { tarMux } from '../../streams/read/tar-mux.js';
import {
  givenLocation,
  openBlob,
  openTables,
  type BackendValues,
  type BlobLocation,
} from '../../streams/image/blob-location.js';
import type { CommandIo } from '../console/text-buffer.js';
import { readImage } from '../../streams/image/read-image.js';

export interface UnpackOptions {
  /** a bootstrap, or a blob with one inlined */
  bootstrap: string;
  /** one file from which every blob is read */
  blob?: string;
  blobDir?: string;
  config?: string;
  /** a storage, instead of a directory or configuration */
  backend?: BackendValues;
  /** file, FIFO, or '/dev/stdout' */
  output: string;
  /** put a '/' before the targets of hardlinks, as nydus-image does; default: true */
  slashedLinks?: boolean;
}

export const unpack = async (options: UnpackOptions, io: CommandIo): Promise<void> => {
  if (options.output === '') throw new RafsError('UNSUPPORTED', 'invalid empty --output option');
  // first of all, so that the reader of a FIFO sees its end if anything fails
  const output = await openOutput(options.output);
  const sources = new Map<number, ReaderAt>();
  const tables = new Map<number, ReaderAt>();
  try {
    const image = await readImage(options.bootstrap);
    const { bootstrap } = image;
    io.log.info(loadedText(bootstrap));
    const place = await blobLocation(options, image.inlined);
    for (const blob of bootstrap.blobs) {
      if (blob.features & BlobFeature.EXTERNAL && place.blobFile === options.bootstrap) {
        const message = 'an external blob: --blob or --blob-dir must say where it is';
        throw new RafsError('UNSUPPORTED', message, { blob: blob.id });
      }
      sources.set(blob.index, await openBlob(blob, place));
      // chunks of a gzip layer cannot be found without its tables
      if (!(blob.features & BlobFeature.ZRAN)) continue;
      tables.set(blob.index, await openTables(blob, place, image));
    }
    await prepareDigests();
    const pool = contentPool(bootstrap);
    await pipeline(
      blobReader({ bootstrap, blobs: sources, tables, rootless: true, pool }),
      chunkVerifier({ bootstrap }),
      tarMux({ names: hostNames(), slashedLinks: options.slashedLinks ?? true }),
      sink(output, pool),
    );
    await output.finish();
  } catch (error) {
    await lingerFifo(options.output);
    await output.abandon();
    throw error;
  } finally {
    for (const source of [...sources.values(), ...tables.values()]) await source.close();
  }
};

const blobLocation = async (
  { blob, blobDir, config, backend, bootstrap }: UnpackOptions,
  inlined: boolean,
): Promise<BlobLocation> => {
  if (blob !== undefined) return { blobFile: blob };
  const given = await givenLocation({ backend, blobDir, config });
  if (given) return given;
  if (inlined) return { blobFile: bootstrap };
  throw new RafsError(
    'UNSUPPORTED',
    'invalid backend configuration, --blob, --blob-dir or --backend-type must be specified',
  );
};

/** @param pool that bytes may come from; is told which of them have been written */
const sink = (output: Output, pool: BufferPool): Writable =>
  new Writable({
    objectMode: true,
    highWaterMark: 2,
    write(batch: Batch<BytesPart>, _encoding, done) {
      output
        .write(batch.map(({ bytes }) => bytes))
        .then(() => {
          for (const { bytes } of batch) pool.releaseBefore(bytes);
        })
        .then(() => done(), done);
    },
  });

/** Names of users and groups on this machine; '' for ids it does not know. */
const hostNames = () => {
  const users = namesIn('/etc/passwd');
  const groups = namesIn('/etc/group');
  return {
    user: (uid: number): string => users.get(uid) ?? '',
    group: (gid: number): string => groups.get(gid) ?? '',
  };
};

/** Names by id, from lines of `name:password:id:…`; the first name of an id counts. */
const namesIn = (path: string): Map<number, string> => {
  const names = new Map<number, string>();
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    return names; // a machine without the file knows no names
  }
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name && id && /^[0-9]+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
};
