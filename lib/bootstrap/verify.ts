/** Checks a whole image: every name, inode, xattr, target and chunk that its tree leads to. */
import type { Bootstrap } from './bootstrap.js';
import { atPath, walk, type Visit } from './walk.js';
import type { StoredChunk } from '../model/stored.js';
import { RafsError } from '../errors.js';
import { BlobFeature } from '../layout/blob.js';

/**
 * Yields every name of the tree in the order of `walk`, once it has been checked. Fails at the
 * first fault, with its path. Needs `prepareDigests`.
 *
 * @param onChunk is given every chunk of every file
 */
export function* verify(
  bootstrap: Bootstrap,
  onChunk?: (chunk: StoredChunk) => void,
): Iterable<Visit> {
  for (const id of bootstrap.prefetch) bootstrap.inode(id);
  for (const visit of walk(bootstrap)) {
    atPath(visit.path, () => verifyOne(bootstrap, visit, onChunk));
    yield visit;
  }
}

const verifyOne = (
  bootstrap: Bootstrap,
  { inode, repeated }: Visit,
  onChunk?: (chunk: StoredChunk) => void,
): void => {
  if (repeated && !bootstrap.recordPerName) return;
  if (inode.hasXattr) bootstrap.xattrs(inode);
  if (inode.type === 'symlink') bootstrap.symlinkTarget(inode);
  if (inode.type === 'file') {
    for (const chunk of bootstrap.chunks(inode)) {
      verifyChunk(bootstrap, chunk);
      onChunk?.(chunk);
    }
  }
  bootstrap.verifyRecord?.(inode);
};

/** Checks the places of a chunk against its blob. */
export const verifyChunk = (bootstrap: Bootstrap, chunk: StoredChunk): void => {
  const blob = bootstrap.blobs[chunk.blobIndex]!;
  const at = { blob: blob.id, chunk: chunk.index };
  const most = blob.uncounted ? Infinity : blob.compressedSize;
  const end = chunk.compressedOffset + chunk.compressedSize;
  if (end > most)
    throw new RafsError(
      'CORRUPT',
      `the chunk ends at ${end}, past the end of the blob at ${most}`,
      at,
    );
  const plainEnd = chunk.uncompressedOffset + chunk.uncompressedSize;
  if (plainEnd > blob.uncompressedSize && !blob.uncounted) {
    throw new RafsError(
      'CORRUPT',
      `the uncompressed chunk ends at ${plainEnd}, past the end of the blob at ${blob.uncompressedSize}`,
      at,
    );
  }
  // a chunk of a gzip layer that is only referenced may have consumed any number of bytes
  const whole = !(blob.features & BlobFeature.ZRAN) && !chunk.compressed && !chunk.encrypted;
  const batched = (blob.features & BlobFeature.BATCH) !== 0 && chunk.compressedSize === 0;
  if (whole && !batched && chunk.compressedSize !== chunk.uncompressedSize) {
    throw new RafsError(
      'CORRUPT',
      `the chunk is not compressed: expected ${chunk.uncompressedSize} bytes, got ${chunk.compressedSize}`,
      at,
    );
  }
};
