/**
 * The block device of an image with random access: the same bytes that block-image makes in order.
 *
 * Holds the bootstrap, the CI tables of the blobs read so far, the most recently used chunks up to
 * `cacheSize`, four chunks being unpacked, and for each of the four blobs read last a batch, or
 * 16 MiB of a gzip layer.
 */
import { allocate } from '../../lib/memory/allocate.js';
import { extentsIn, type BlockMap, type DeviceExtent } from '../../lib/device/block-map.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { ChunkLookup } from './chunk-lookup.js';
import { requireChunkTable } from '../read/chunk-info.js';
import { DeviceChunks, DeviceTar, SharedChunks, type DeviceBytes } from './device-blob.js';
import type { ReaderAt } from '../io/reader-at.js';

export interface BlockReaderOptions {
  bootstrap: Bootstrap;
  /** the bytes of the bootstrap */
  image: Buffer;
  map: BlockMap;
  /** Opens the bytes of a blob, by its index. */
  open: (blobIndex: number) => Promise<ReaderAt>;
  /** Opens the tables of a blob that is an original layer. */
  openTables: (blobIndex: number) => Promise<ReaderAt>;
  /** bytes of unpacked chunks to keep */
  cacheSize: number;
}

/** What can be read like a disk. */
export interface BlockDevice {
  readonly size: number;
  /** The bytes are the caller's own; the range must lie within the device. */
  read(offset: number, size: number): Promise<Buffer>;
  /** What is content and what a hole, in a range that lies within the device. */
  extents(offset: number, size: number): readonly DeviceExtent[];
}

/**
 * Opens no blob yet: each is opened when it is first read, and stays open. Fails with UNSUPPORTED
 * for blobs whose chunks are in no table.
 */
export const openBlockReader = async (options: BlockReaderOptions): Promise<BlockReader> => {
  await Promise.all([prepareCompressors(), prepareDigests()]);
  const { bootstrap, map } = options;
  if (!bootstrap.tarfs) for (const { blob } of map.blobs) requireChunkTable(blob);
  return new BlockReader(options);
};

export class BlockReader implements BlockDevice {
  readonly size: number;
  readonly #map: BlockMap;
  readonly #image: Buffer;
  readonly #regions: readonly { offset: number; size: number; bytes: DeviceBytes }[];

  /** Needs `prepareCompressors` and `prepareDigests`. */
  constructor({ bootstrap, image, map, cacheSize, open, openTables }: BlockReaderOptions) {
    this.size = map.size;
    this.#map = map;
    this.#image = image;
    const shared = new SharedChunks(new ChunkLookup(image, bootstrap), cacheSize);
    this.#regions = map.blobs.map(mapped => {
      const { index } = mapped.blob;
      const openBlob = (): Promise<ReaderAt> => open(index);
      return {
        offset: mapped.offset,
        size: mapped.size,
        bytes: bootstrap.tarfs
          ? new DeviceTar(mapped, openBlob)
          : new DeviceChunks(mapped, shared, openBlob, () => openTables(index)),
      };
    });
  }

  /**
   * Fails with the system's error if a blob is missing, with CORRUPT or MISMATCH if it is not what
   * the image says. Another read may succeed.
   */
  async read(offset: number, size: number): Promise<Buffer> {
    const end = offset + size;
    if (!(offset >= 0 && size >= 0 && end <= this.size)) {
      throw new RangeError(`${size} bytes at ${offset} extend past the end at ${this.size}`);
    }
    const bytes = allocate(size).fill(0); // gaps between blobs are zeros
    if (offset < this.#image.length) this.#image.copy(bytes, 0, offset, end);
    for (const region of this.#regions) {
      const from = Math.max(offset, region.offset);
      const to = Math.min(end, region.offset + region.size);
      if (from >= to) continue;
      const target = bytes.subarray(from - offset, to - offset);
      await region.bytes.copy(from - region.offset, target);
    }
    return bytes;
  }

  extents(offset: number, size: number): readonly DeviceExtent[] {
    return extentsIn(this.#map, offset, size);
  }

  /** Reads in progress may fail. */
  async close(): Promise<void> {
    for (const { bytes } of this.#regions) await bytes.close();
  }
}
