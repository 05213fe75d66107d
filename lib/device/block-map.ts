/** The address space of an image's block device: the bootstrap, then the blobs where mapped. */
import { RAFS_VERSIONS } from '../model/version.js';
import type { Bootstrap } from '../bootstrap/bootstrap.js';
import type { BlobRecord } from '../model/stored.js';
import type { ChunkInfo } from '../blob/chunk-info-table.js';
import { RafsError } from '../errors.js';
import { BlobFeature } from '../layout/blob.js';

/** Builders leave less than 512 KiB between blobs; images with endless gaps are refused. */
const GAP_LIMIT = 2 ** 30;

export interface DeviceBlob {
  blob: BlobRecord;
  /** where its first byte lies */
  offset: number;
  /** whole blocks of it, in bytes */
  size: number;
}

export interface BlockMap {
  blockSize: number;
  bootstrapSize: number;
  /** in the order of their addresses */
  blobs: readonly DeviceBlob[];
  /** bytes in all, whole blocks */
  size: number;
}

/**
 * Lays out the device.
 *
 * UNSUPPORTED for v5; CORRUPT if blobs overlap or have no address; LIMIT for gaps over 1 GiB.
 */
export const blockMap = (bootstrap: Bootstrap, bootstrapSize: number): BlockMap => {
  const { blockSize, tarfs } = bootstrap;
  if (!RAFS_VERSIONS[bootstrap.version].isBlockImage) {
    throw new RafsError('UNSUPPORTED', 'only RAFS v6 images can be a block device');
  }
  if (bootstrapSize % blockSize !== 0) {
    throw new RafsError(
      'CORRUPT',
      `a bootstrap of ${bootstrapSize} bytes does not consist of blocks of ${blockSize}`,
    );
  }
  const blobs = bootstrap.blobs
    .map(blob => {
      if (((blob.features & BlobFeature.TARFS) !== 0) !== tarfs) {
        throw new RafsError(
          'CORRUPT',
          'the image and its blob must both be in Tarfs mode, or neither',
          { blob: blob.id },
        );
      }
      return {
        blob,
        offset: blob.mappedBlkaddr * blockSize,
        size: Math.floor(blob.uncompressedSize / blockSize) * blockSize,
      };
    })
    .sort((a, b) => a.offset - b.offset);
  let end = bootstrapSize;
  for (const { blob, offset, size } of blobs) {
    const at = { blob: blob.id, offset };
    if (offset < end)
      throw new RafsError('CORRUPT', `the blob is mapped over the ${end} bytes before it`, at);
    if (offset - end > GAP_LIMIT) {
      throw new RafsError('LIMIT', `there is a gap of ${offset - end} bytes before the blob`, at);
    }
    end = offset + size;
  }
  return { blockSize, bootstrapSize, blobs, size: end };
};

/** Bytes of a device that have content, or none and are zeros. */
export interface DeviceExtent {
  size: number;
  hole: boolean;
}

/**
 * What lies in a range of the device: the bootstrap and the blobs, and holes where nothing is
 * mapped. Within a blob nothing is told apart, which would take its table.
 */
export const extentsIn = (
  { bootstrapSize, blobs, size: deviceSize }: BlockMap,
  offset: number,
  size: number,
): DeviceExtent[] => {
  const end = offset + size;
  const extents: DeviceExtent[] = [];
  const add = (from: number, to: number, hole: boolean): void => {
    const length = Math.min(to, end) - Math.max(from, offset);
    if (length <= 0) return;
    const last = extents.at(-1);
    if (last?.hole === hole) last.size += length;
    else extents.push({ size: length, hole });
  };
  let at = 0;
  for (const content of [{ offset: 0, size: bootstrapSize }, ...blobs]) {
    add(at, content.offset, true);
    at = content.offset + content.size;
    add(content.offset, at, false);
  }
  add(at, deviceSize, true);
  return extents;
};

/** Builders leave less than a block between chunks; this allows as much as the largest chunk. */
const MOST_UNUSED = 0x1000000;

/** CORRUPT for more bytes without a chunk than a blob can need. */
export const requireGap = (size: number): void => {
  if (size > MOST_UNUSED) throw new RafsError('CORRUPT', `${size} bytes belong to no chunk`);
};

/**
 * Where a chunk ends. CORRUPT unless it lies after the previous one, which ends at `end`, and
 * within the `size` bytes of the blob.
 */
export const endOfChunk = (
  { uncompressedOffset, uncompressedSize }: ChunkInfo,
  end: number,
  size: number,
): number => {
  const own = uncompressedOffset + uncompressedSize;
  if (uncompressedOffset < end || own > size) {
    const where = `expected a chunk between ${end} and ${size}, got one at ${uncompressedOffset}`;
    throw new RafsError('CORRUPT', where);
  }
  requireGap(uncompressedOffset - end);
  return own;
};
