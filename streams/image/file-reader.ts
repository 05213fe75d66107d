/**
 * Content of single files of an image, in any order.
 *
 * holds every blob that was read from, open; of all of them together the 4 MiB read last, and what
 *   a chunk-reader holds of each
 */
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { located } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { Inode, StoredChunk } from '../../lib/model/stored.js';
import type { ReaderAt } from '../io/reader-at.js';
import { BlobBlocks } from '../read/blob-blocks.js';
import { ChunkReader } from '../read/chunk-reader.js';
import { verifyChunk } from '../read/chunk-verifier.js';
import {
  openBlob,
  openTables,
  requirePlace,
  type BlobLocation,
  type BlobsInput,
} from './blob-location.js';
import type { Image } from './read-image.js';

/** A blob that is read chunk by chunk: what it unpacked last serves one reader at a time. */
interface OpenBlob {
  reader: ChunkReader;
  sources: readonly ReaderAt[];
  /** settled when the last reader in the queue has its chunk */
  turn: Promise<unknown>;
}

export class FileReader {
  readonly #image: Image;
  readonly #blobs: BlobsInput | undefined;
  readonly #open = new Map<number, Promise<OpenBlob>>();
  readonly #blocks = new BlobBlocks();
  #place: Promise<BlobLocation> | undefined;

  constructor(image: Image, blobs: BlobsInput | undefined) {
    this.#image = image;
    this.#blobs = blobs;
  }

  /** The chunks of a file, plain and verified; `path` is for errors. */
  async *read(inode: Inode, path: string): AsyncGenerator<Buffer, void> {
    const { bootstrap } = this.#image;
    await Promise.all([prepareDigests(), prepareCompressors()]);
    for (const chunk of bootstrap.chunks(inode)) {
      try {
        const bytes = await this.#chunk(bootstrap, chunk);
        verifyChunk(bootstrap, chunk, bytes, path);
        yield bytes;
      } catch (error) {
        throw located(error, {
          path: `/${path}`,
          blob: bootstrap.blobs[chunk.blobIndex]!.id,
          chunk: chunk.index,
          offset: chunk.compressedOffset,
        });
      }
    }
  }

  async close(): Promise<void> {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const opening of open) {
      const blob = await opening.catch(() => undefined); // reported to whoever asked for it
      await blob?.turn.catch(() => undefined);
      for (const source of blob?.sources ?? []) await source.close();
    }
  }

  async #chunk({ blobs }: Bootstrap, chunk: StoredChunk): Promise<Buffer> {
    let opening = this.#open.get(chunk.blobIndex);
    if (!opening) {
      opening = this.#openBlob(blobs, chunk.blobIndex);
      this.#open.set(chunk.blobIndex, opening);
      // a blob that comes later is found then
      opening.catch(() => this.#open.delete(chunk.blobIndex));
    }
    const blob = await opening;
    const read = blob.turn.then(() => blob.reader.read(chunk));
    blob.turn = read.catch(() => undefined);
    return read;
  }

  async #openBlob(blobs: Bootstrap['blobs'], index: number): Promise<OpenBlob> {
    const blob = blobs[index]!;
    this.#place ??= requirePlace(this.#blobs, this.#image);
    const place = await this.#place;
    const source = await openBlob(blob, place);
    const turn = Promise.resolve();
    if (!(blob.features & BlobFeature.ZRAN)) {
      return { reader: new ChunkReader(blob, source, this.#blocks), sources: [source], turn };
    }
    try {
      const tables = await openTables(blob, place, this.#image);
      const reader = new ChunkReader(blob, source, this.#blocks, { tables });
      return { reader, sources: [source, tables], turn };
    } catch (error) {
      await source.close();
      throw error;
    }
  }
}
