import {
  type ChunkInfoTable,
  hasChunkInfo,
  parseChunkInfoHeader,
  parseChunkInfo,
  isLegacyStargz,
} from '../../lib/blob/chunk-info-table.js';
import { RafsError, located } from '../../lib/errors.js';
import { BlobFeature, ChunkInfoHeader } from '../../lib/layout/blob.js';
import type { BlobRecord } from '../../lib/model/stored.js';
import type { ReaderAt } from '../io/reader-at.js';

/** Reads the CI table of a blob and compares it with the blob table. */
export const readChunkInfo = async (
  source: ReaderAt,
  blob: BlobRecord,
): Promise<ChunkInfoTable> => {
  if (!hasChunkInfo(blob)) {
    throw new RafsError('CORRUPT', 'the blob has no CI table', { blob: blob.id });
  }
  const headerOffset = blob.ciOffset + blob.ciCompressedSize;
  try {
    const headerBytes = await source.read(headerOffset, ChunkInfoHeader.size);
    const header = parseChunkInfoHeader(headerBytes, blob);
    return parseChunkInfo(await source.read(blob.ciOffset, blob.ciCompressedSize), header, blob);
  } catch (error) {
    throw located(error, { blob: blob.id, section: 'blob.meta' });
  }
};

/** Most bytes of a gzip member's header: room for a longer name and comment than anyone uses. */
export const MOST_HEADER = 0x10000;

/** Fails with UNSUPPORTED for blobs whose chunks are in no CI table. */
export const requireChunkTable = (blob: BlobRecord): void => {
  const at = { blob: blob.id };
  if (blob.features & BlobFeature.EXTERNAL) {
    throw new RafsError('UNSUPPORTED', 'an external blob cannot be part of a block device', at);
  }
  if (isLegacyStargz(blob)) {
    throw new RafsError('UNSUPPORTED', 'an eStargz layer cannot be part of a block device', at);
  }
};
