/**
 * tarfs-mapper: maps the files of a tar to chunks that are slices of the tar itself.
 *
 * takes entry and layer, makes chunk (placed) and blob, passes entry, end and section
 * holds nothing
 *
 * Content is not looked at: a chunk has neither digest nor checksum, and none is deduplicated.
 */
import { COMPRESSORS } from '../../lib/layout/compressors.js';
import { DIGESTERS, NO_DIGEST } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type {
  BlobPart,
  ChunkPart,
  EndPart,
  EntryPart,
  LayerPart,
  SectionPart,
} from '../../lib/model/parts.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import type { PlacedChunk } from '../../lib/model/chunk.js';
import { Stage } from '../stage.js';
import { NO_BYTES } from '../../lib/memory/allocate.js';

/** Stands for a digest that is still being computed. */
const PENDING_ID = '?'.repeat(64);

export interface TarfsMapperOptions {
  chunkSize: number;
  /** instead of the sha256 of the tar */
  blobId?: string | undefined;
}

type Passed = EntryPart | EndPart | SectionPart;

/** Fails with UNSUPPORTED for a sparse file: its content is not contiguous in the tar. */
export const tarfsMapper = ({ chunkSize, blobId }: TarfsMapperOptions) => {
  let chunkCount = 0;

  /** The slice at an offset of a file; `dataOffset` is where the file's data lies in the tar. */
  const sliceAt = (
    fileOffset: number,
    size: number,
    dataOffset: number,
  ): ChunkPart<PlacedChunk> => {
    const uncompressedSize = Math.min(chunkSize, size - fileOffset);
    const index = chunkCount++;
    const chunk = {
      fileOffset,
      uncompressedSize,
      uncompressedOffset: dataOffset + fileOffset,
      compressedOffset: dataOffset + fileOffset,
      compressedSize: uncompressedSize,
      compressed: false,
      blobIndex: 0,
      index,
      uniqueIndex: index,
      known: false,
      digest: NO_DIGEST,
      crc32: 0,
    };
    return { kind: 'chunk', chunk, bytes: NO_BYTES };
  };

  /** The slices of a file after its first. */
  function* rest(size: number, dataOffset: number): Iterable<ChunkPart<PlacedChunk>> {
    for (let fileOffset = chunkSize; fileOffset < size; fileOffset += chunkSize) {
      yield sliceAt(fileOffset, size, dataOffset);
    }
  }

  const blobOf = ({ size, digest }: LayerPart): BlobInfo => ({
    id: blobId ?? digest ?? PENDING_ID,
    chunkSize,
    chunkCount,
    compressor: COMPRESSORS.none,
    digester: DIGESTERS.sha256,
    features: BlobFeature.CAP_TAR_TOC + BlobFeature.TARFS,
    compressedSize: size,
    uncompressedSize: size,
    tocSize: 0,
    tocDigest: NO_DIGEST,
    ciCompressor: COMPRESSORS.lz4_block, // as in nydus-image if there is no table
    ciOffset: 0,
    ciCompressedSize: 0,
    ciUncompressedSize: 0,
    metaDigest: NO_DIGEST,
    metaSize: 0,
  });

  return new Stage<Passed | LayerPart, Passed | ChunkPart<PlacedChunk> | BlobPart>('tarfs-mapper', {
    transform(part, push) {
      if (part.kind === 'layer') {
        // a layer without content has no blob
        const blob = chunkCount > 0 ? blobOf(part) : undefined;
        const pending = blob?.id === PENDING_ID && part.pending ? { pendingId: part.pending } : {};
        push({ kind: 'blob', blob, ...pending });
        return undefined;
      }
      push(part);
      if (part.kind !== 'entry') return undefined;
      const { type, path, size, dataOffset } = part.entry;
      if (type !== 'file' || size === 0) return undefined;
      if (dataOffset === undefined) {
        throw new RafsError('UNSUPPORTED', 'a sparse file cannot be mapped into a tar', { path });
      }
      push(sliceAt(0, size, dataOffset));
      return size > chunkSize ? rest(size, dataOffset) : undefined;
    },
  });
};
