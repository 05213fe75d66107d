/**
 * The image of external files, which every build of a directory makes besides the directory's own:
 * the root and, if attributes say so, files whose content lies in blobs that already exist.
 *
 * Unlike nydus-image's, it always loads. Readers find the chunk at an offset by the chunk size of
 * the image, and v6 requires that size of each blob, so all files are cut by one size, whatever
 * they are listed with. In v6 a blob is marked as aligned, and its chunks lie in blocks; if they
 * do not in the blob itself, their uncompressed offsets differ from the compressed ones.
 */
import { RAFS_VERSIONS, type RafsVersion } from '../model/version.js';
import { alignUp } from '../layout/align.js';
import { sizeDirectories } from '../bootstrap/v5/plan.js';
import { BlobTable } from '../bootstrap/blob-table.js';
import { ChunkTable } from '../chunk/chunk-table.js';
import { COMPRESSORS } from '../layout/compressors.js';
import { DIGESTERS, type Digester, NO_DIGEST } from '../crypto/digest.js';
import { RafsError } from '../errors.js';
import { BlobFeature, ChunkInfoV1 } from '../layout/blob.js';
import { loadImage, type LoadedImage } from './load-image.js';
import { applyLayer } from '../tree/overlay.js';
import type { ExternalPart } from '../model/parts.js';
import type { BlobInfo } from '../model/blob.js';
import type { ExternalExtent } from '../model/entry.js';
import { inOrder } from '../tree/sorted-children.js';
import type { InodeAttributes } from '../tree/inode-attributes.js';
import { Tree } from '../tree/tree.js';
import type { WhiteoutSpec } from '../layer/whiteout.js';

export interface ExternalImageOptions {
  fsVersion: RafsVersion;
  digester: Digester;
  /** of the build */
  chunkSize: number;
  explicitUidGid: boolean;
  /** the image that the layer is laid over; it is loaded once more from this bootstrap */
  lower?: Pick<LoadedImage, 'bootstrap'> | undefined;
  whiteoutSpec: WhiteoutSpec;
}

export interface ExternalImage {
  tree: Tree;
  chunks: ChunkTable;
  blobs: BlobInfo[];
  /** that of the image, which need not be that of the build */
  chunkSize: number;
}

const BLOCK = 0x1000;
const MOST_CHUNK_SIZE = 0x100_0000;

/** @param root what the layer says of its root */
export const externalImage = (
  root: InodeAttributes,
  parts: readonly ExternalPart[],
  options: ExternalImageOptions,
): ExternalImage => {
  const { lower, whiteoutSpec } = options;
  const image = lower
    ? loadImage(lower.bootstrap)
    : { tree: new Tree(), chunks: new ChunkTable(), blobs: new BlobTable() };
  const { tree, chunks } = image;
  const top = lower ? tree.addRoot() : tree.root;
  tree.marksHardlinks = false;
  tree.describe(top, { ...root, size: 0 });
  tree.implied.data[top] = 0;
  const places = new Map<number, ExternalExtent>(); // by row
  for (const { entry, place } of parts) {
    const row = tree.insert(entry);
    if (!options.explicitUidGid) tree.uid.data[row] = tree.gid.data[row] = 0;
    if (place) places.set(row, place);
  }
  sizeDirectories(tree); // as they are in this layer
  if (lower) applyLayer(tree, 0, top, whiteoutSpec);
  const files = filesOf(tree, places);
  const chunkSize = lower ? options.chunkSize : commonChunkSize(files, options.chunkSize);
  const blobs = cutFiles(image, files, chunkSize, options);
  return { tree, chunks, blobs, chunkSize };
};

/** A file and its names. */
interface ExternalFile {
  rows: number[];
  size: number;
  place: ExternalExtent;
}

/** The files in the order in which images list them, without those that were whited out. */
const filesOf = (tree: Tree, places: ReadonlyMap<number, ExternalExtent>): ExternalFile[] => {
  const placed = new Map<number, ExternalExtent>(); // by source number
  for (const [row, place] of places) placed.set(tree.source.get(row), place);
  const files = new Map<number, ExternalFile>();
  for (const row of inOrder(tree)) {
    const source = tree.source.get(row);
    const place = placed.get(source);
    if (!place) continue;
    const file = files.get(source);
    if (file) file.rows.push(row);
    else files.set(source, { rows: [row], size: tree.size.get(row), place });
  }
  return [...files.values()];
};

/** The smallest chunk size that files are listed with, so that most of their checksums are kept. */
const commonChunkSize = (files: readonly ExternalFile[], otherwise: number): number => {
  const sizes = files.map(({ place: { chunkSize } }) => {
    if (chunkSize > MOST_CHUNK_SIZE && chunkSize % MOST_CHUNK_SIZE === 0) return MOST_CHUNK_SIZE;
    const fits = chunkSize >= BLOCK && chunkSize <= MOST_CHUNK_SIZE;
    return fits && Number.isInteger(Math.log2(chunkSize)) ? chunkSize : otherwise;
  });
  return sizes.length === 0 ? otherwise : sizes.reduce((least, size) => Math.min(least, size));
};

/** A blob while chunks are placed in it. */
interface OpenBlob {
  place: ExternalExtent;
  /** the uncompressed offsets of chunks are their offsets in the blob */
  direct: boolean;
  uncompressedSize: number;
  chunkCount: number;
}

/** Gives every file its chunks; returns the blob table. */
const cutFiles = (
  { tree, chunks, blobs: table }: Pick<LoadedImage, 'tree' | 'chunks' | 'blobs'>,
  files: readonly ExternalFile[],
  chunkSize: number,
  { fsVersion, digester }: ExternalImageOptions,
): BlobInfo[] => {
  const lower = table.finish(undefined);
  const open = new Map<number, OpenBlob>();
  for (const { place } of files) {
    const direct = !RAFS_VERSIONS[fsVersion].alignsChunks || place.offset % BLOCK === 0;
    const blob = open.get(place.blobIndex);
    if (!blob) {
      open.set(place.blobIndex, { place, direct, uncompressedSize: 0, chunkCount: 0 });
      continue;
    }
    blob.direct &&= direct;
    checkSame(blob.place, place);
  }
  for (const { rows, size, place } of files) {
    const blob = open.get(place.blobIndex)!;
    const start = blob.direct ? place.offset : blob.uncompressedSize;
    const first = chunks.lists.length;
    for (let at = 0; at < size; at += chunkSize) {
      const crc32 = checksumOf(place, size, at, chunkSize);
      const chunk = {
        digest: NO_DIGEST,
        blobIndex: place.blobIndex,
        index: blob.chunkCount++,
        fileOffset: at,
        uncompressedSize: Math.min(chunkSize, size - at),
        compressedSize: Math.min(chunkSize, size - at),
        uncompressedOffset: start + at,
        compressedOffset: place.offset + at,
        compressed: false,
        encrypted: false,
        ...(crc32 === undefined ? {} : { crc32 }),
      };
      chunks.lists.push(chunks.addStored(chunk, place.blobIndex));
    }
    if (!blob.direct) blob.uncompressedSize = alignUp(start + size, BLOCK);
    for (const row of rows) tree.setChunks(row, first, chunks.lists.length - first);
  }
  return blobTable(lower, open, { chunkSize, fsVersion, digester });
};

const checkSame = (a: ExternalExtent, b: ExternalExtent): void => {
  if (a.blobId === b.blobId && a.blobSize === b.blobSize) return;
  const blob = ({ blobId, blobSize }: ExternalExtent): string => `${blobId} of ${blobSize} bytes`;
  throw new RafsError('CORRUPT', `external blob ${a.blobIndex} is both ${blob(a)} and ${blob(b)}`);
};

/** The checksum of a chunk, if the file is listed with one of exactly these bytes. */
const checksumOf = (
  { chunkSize, crcs }: ExternalExtent,
  size: number,
  at: number,
  cut: number,
): number | undefined => {
  if (chunkSize === cut) return crcs[at / cut];
  return size <= Math.min(chunkSize, cut) ? crcs[0] : undefined;
};

/** Blobs keep their listed indexes, which clients use too; they follow those of the image below. */
const blobTable = (
  lower: readonly BlobInfo[],
  open: ReadonlyMap<number, OpenBlob>,
  {
    chunkSize,
    fsVersion,
    digester,
  }: Pick<ExternalImageOptions, 'chunkSize' | 'fsVersion' | 'digester'>,
): BlobInfo[] => {
  const blobs = [...lower];
  for (const [index, blob] of [...open].sort(([a], [b]) => a - b)) {
    const { blobId: id, blobSize } = blob.place;
    const next = blobs.length;
    if (index < next) {
      throw new RafsError(
        'CORRUPT',
        `external blob ${index} belongs to the parent, which has ${next} blobs`,
      );
    }
    if (index > next)
      throw new RafsError('CORRUPT', `external blob ${next} has no file, but blob ${index} has`);
    if (blobs.some(other => other.id === id)) {
      throw new RafsError('CORRUPT', `two blobs have the id ${id}`);
    }
    const aligned = RAFS_VERSIONS[fsVersion].alignsChunks;
    const direct = aligned ? alignUp(blobSize, BLOCK) : blobSize; // v6 counts it in blocks
    blobs.push({
      id,
      chunkSize,
      chunkCount: blob.chunkCount,
      compressor: COMPRESSORS.none,
      digester: DIGESTERS[digester],
      features:
        BlobFeature.CAP_TAR_TOC + BlobFeature.EXTERNAL + (aligned ? BlobFeature.ALIGNED : 0),
      compressedSize: blobSize,
      uncompressedSize: blob.direct ? direct : blob.uncompressedSize,
      tocSize: 0,
      tocDigest: NO_DIGEST,
      ciCompressor: COMPRESSORS.none,
      ciOffset: 0,
      ciCompressedSize: 0,
      // there is no such table, but v6 readers expect its size
      ciUncompressedSize: aligned ? blob.chunkCount * ChunkInfoV1.size : 0,
      metaDigest: NO_DIGEST,
      metaSize: 0,
    });
  }
  return blobs;
};
