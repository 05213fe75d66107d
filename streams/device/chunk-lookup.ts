/** Finds the records of a blob's chunks by where they lie. */

import type { ChunkInfo } from '../../lib/blob/chunk-info-table.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { ChunkIndex } from '../../lib/bootstrap/v6/chunk-index.js';
import { digesterName, digest, crc32c, NO_DIGEST } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { ChunkRecord } from '../../lib/layout/rafs.js';
import type { StoredChunk } from '../../lib/model/stored.js';

/** What the bootstrap knows about the chunks of its blobs; holds 8 bytes for each. */
export class ChunkLookup {
  readonly #image: Buffer;
  readonly #bootstrap: Bootstrap;
  #index: ChunkIndex | undefined;

  constructor(image: Buffer, bootstrap: Bootstrap) {
    this.#image = image;
    this.#bootstrap = bootstrap;
  }

  /** A chunk as its blob describes it, with the bootstrap's digest; zeros if it has none. */
  chunk(blobIndex: number, index: number, info: ChunkInfo): StoredChunk {
    const { tables, blobs } = this.#bootstrap;
    this.#index ??= new ChunkIndex(this.#image, tables.chunk, blobs);
    const at = this.#index.find(blobIndex, index);
    const record = at === undefined ? undefined : ChunkRecord.decode(this.#image, at);
    if (record && record.uncompressedSize !== info.uncompressedSize) {
      const sizes = `the chunk has ${info.uncompressedSize} bytes, but ${record.uncompressedSize} in the bootstrap`;
      throw new RafsError('MISMATCH', sizes);
    }
    const place: Omit<ChunkInfo, 'zran'> = info; // its place in a gzip stream is not needed here
    return { ...place, fileOffset: 0, blobIndex, index, digest: record?.digest ?? NO_DIGEST };
  }

  /** Fails with MISMATCH if the bytes are not the chunk's; needs `prepareDigests`. */
  verify(digester: number, { digest: due, crc32 }: StoredChunk, bytes: Buffer): void {
    if (!due.equals(NO_DIGEST)) {
      const name = digesterName(digester);
      const got = digest(name, bytes);
      if (got.equals(due)) return;
      throw new RafsError(
        'MISMATCH',
        `expected ${name} ${due.toString('hex')}, got ${got.toString('hex')}`,
      );
    }
    if (crc32 !== undefined && crc32c(bytes) !== crc32) {
      throw new RafsError('MISMATCH', `the chunk does not have the crc32 ${crc32.toString(16)}`);
    }
  }
}
