/** The blobs of an image, for commands that copy chunks out of them. */
import { located, RafsError } from '../../lib/errors.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { ChunkFlag } from '../../lib/layout/rafs.js';
import type { LoadedImage } from '../../lib/image/load-image.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import { BlobBlocks } from '../read/blob-blocks.js';
import { ChunkReader } from '../read/chunk-reader.js';
import type { StoredBytes } from '../build/compactor.js';
import { countingReader, type ReaderAt } from '../io/reader-at.js';
import { openBlob, openTables, type BlobLocation } from './blob-location.js';
import type { Image } from './read-image.js';

/** Opens each blob when it is first read. Rows are those of the image's chunk table. */
export class BlobSources {
  readonly #image: LoadedImage;
  readonly #blobs: readonly BlobInfo[];
  readonly #place: BlobLocation;
  readonly #from: Image;
  readonly #open = new Map<string, Promise<ReaderAt>>();
  readonly #readers = new Map<number, Promise<ChunkReader>>();
  readonly #blocks = new BlobBlocks();
  readonly #counters: { bytesIn: number };

  /** @param counters are told what is read */
  constructor(
    image: LoadedImage,
    blobs: readonly BlobInfo[],
    place: BlobLocation,
    from: Image,
    counters = { bytesIn: 0 },
  ) {
    this.#counters = counters;
    this.#image = image;
    this.#blobs = blobs;
    this.#place = place;
    this.#from = from;
  }

  async sizeOf(blobIndex: number): Promise<number> {
    return (await this.#source(blobIndex)).size;
  }

  /** A chunk in its stored form, from a blob whose chunks are stored individually. */
  async stored(row: number): Promise<StoredBytes> {
    const { chunks } = this.#image;
    const blobIndex = chunks.blobIndex.get(row);
    const offset = chunks.compressedOffset.get(row);
    const size = chunks.compressedSize.get(row);
    const { chunkSize } = this.#blobs[blobIndex]!;
    return this.#located(row, async () => {
      if (size > chunkSize)
        throw new RafsError(
          'CORRUPT',
          `a chunk of ${size} bytes exceeds the chunk size ${chunkSize}`,
        );
      const bytes = await this.#blocks.read(await this.#source(blobIndex), offset, size);
      return { bytes, compressed: (chunks.flags.get(row) & ChunkFlag.COMPRESSED) !== 0 };
    });
  }

  /** A chunk in its unpacked form, from any blob. */
  async unpacked(row: number): Promise<StoredBytes> {
    const { chunks } = this.#image;
    const blobIndex = chunks.blobIndex.get(row);
    const flags = chunks.flags.get(row);
    return this.#located(row, async () => {
      const reader = await this.#reader(blobIndex);
      const bytes = await reader.read({
        digest: chunks.digest(row),
        fileOffset: 0,
        blobIndex,
        index: chunks.index.get(row),
        compressedOffset: chunks.compressedOffset.get(row),
        compressedSize: chunks.compressedSize.get(row),
        uncompressedOffset: chunks.uncompressedOffset.get(row),
        uncompressedSize: chunks.uncompressedSize.get(row),
        compressed: (flags & ChunkFlag.COMPRESSED) !== 0,
        encrypted: (flags & ChunkFlag.ENCRYPTED) !== 0,
      });
      return { bytes, compressed: false };
    });
  }

  async close(): Promise<void> {
    for (const opening of this.#open.values()) {
      const source = await opening.catch(() => undefined); // reported to whoever asked for it
      await source?.close();
    }
  }

  async #located<T>(row: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { blobIndex, index, compressedOffset } = this.#image.chunks;
      throw located(error, {
        blob: this.#blobs[blobIndex.get(row)]!.id,
        chunk: index.get(row),
        offset: compressedOffset.get(row),
      });
    }
  }

  #reader(blobIndex: number): Promise<ChunkReader> {
    let reader = this.#readers.get(blobIndex);
    if (!reader) {
      reader = this.#makeReader(blobIndex);
      this.#readers.set(blobIndex, reader);
    }
    return reader;
  }

  async #makeReader(blobIndex: number): Promise<ChunkReader> {
    const record = this.#record(blobIndex);
    const source = await this.#source(blobIndex);
    if (!(record.features & BlobFeature.SEPARATE)) {
      return new ChunkReader(record, source, this.#blocks);
    }
    const open = (): Promise<ReaderAt> => openTables(record, this.#place, this.#from);
    return new ChunkReader(record, source, this.#blocks, {
      tables: await this.#once(`t${blobIndex}`, open),
    });
  }

  #source(blobIndex: number): Promise<ReaderAt> {
    const open = (): Promise<ReaderAt> => openBlob(this.#record(blobIndex), this.#place);
    return this.#once(`b${blobIndex}`, open);
  }

  #once(key: string, open: () => Promise<ReaderAt>): Promise<ReaderAt> {
    let opening = this.#open.get(key);
    if (!opening) {
      opening = open().then(source => countingReader(source, this.#counters));
      this.#open.set(key, opening);
    }
    return opening;
  }

  /** The record in the bootstrap that the blob was listed from. */
  #record(blobIndex: number): BlobRecord {
    const { id } = this.#blobs[blobIndex]!;
    return this.#image.bootstrap.blobs.find(blob => blob.id === id)!; // there is one for each
  }
}
