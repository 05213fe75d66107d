/**
 * chunk-verifier: compares every chunk with the digest or checksum that the image has for it.
 *
 * takes entry, chunk and end, passes all of them
 * holds nothing
 */
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import type { StoredChunk } from '../../lib/model/stored.js';
import { crc32c, digest, digesterName, NO_DIGEST } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import type { ImagePart } from './blob-reader.js';
import { Stage } from '../stage.js';

/**
 * Compares the plain bytes of a chunk with its digest, or with its checksum where it has none.
 * Needs `prepareDigests`. Fails with MISMATCH.
 */
export const verifyChunk = (
  { blobs }: Pick<Bootstrap, 'blobs'>,
  chunk: StoredChunk,
  bytes: Buffer,
  path: string | undefined,
): void => {
  const blob = blobs[chunk.blobIndex]!;
  const fail = (what: string, due: string, got: string): RafsError =>
    new RafsError('MISMATCH', `expected ${what} ${due}, got ${got}`, {
      ...(path === undefined ? {} : { path: `/${path}` }),
      blob: blob.id,
      chunk: chunk.index,
      offset: chunk.compressedOffset,
    });
  // chunks of tars and of external blobs have no digest
  if (!chunk.digest.equals(NO_DIGEST)) {
    const digester = digesterName(blob.digester);
    const got = digest(digester, bytes);
    if (!got.equals(chunk.digest)) {
      throw fail(digester, chunk.digest.toString('hex'), got.toString('hex'));
    }
  } else if (chunk.crc32 !== undefined && chunk.crc32 !== crc32c(bytes)) {
    throw fail('crc32', chunk.crc32.toString(16), crc32c(bytes).toString(16));
  }
};

/** Needs `prepareDigests`. Fails with MISMATCH, with file, blob, chunk and offset. */
export const chunkVerifier = ({ bootstrap }: { bootstrap: Bootstrap }) => {
  let path: string | undefined; // unknown where chunks come without entries
  return new Stage<ImagePart, ImagePart>('chunk-verifier', {
    transform(part, push) {
      if (part.kind === 'entry') path = part.entry.path;
      else if (part.kind === 'chunk') verifyChunk(bootstrap, part.chunk, part.bytes, path);
      push(part);
    },
  });
};
