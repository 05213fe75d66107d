/** Digests and checksums of chunks, in the form in which threads hand them over. */
import { crc32c, digestInto, type Digester, DIGEST_SIZE } from '../crypto/digest.js';

const CHECKSUM_SIZE = 4;

export class ChunkHashes {
  readonly digests: Buffer;
  readonly checksums: Uint32Array;

  /** @param bytes the digests of all chunks, then their CRC-32Cs in this machine's byte order */
  constructor(bytes: Uint8Array) {
    const count = bytes.length / (DIGEST_SIZE + CHECKSUM_SIZE);
    this.digests = Buffer.from(bytes.buffer, bytes.byteOffset, count * DIGEST_SIZE);
    this.checksums = new Uint32Array(bytes.buffer, bytes.byteOffset + count * DIGEST_SIZE, count);
  }

  /** A view of the digest of a chunk. */
  digest(index: number): Buffer {
    return this.digests.subarray(index * DIGEST_SIZE, (index + 1) * DIGEST_SIZE);
  }

  /** Computes the hashes of a chunk. Needs `prepareDigests` for blake3. */
  make(index: number, digester: Digester, chunk: Uint8Array): void {
    digestInto(digester, chunk, this.digests, index * DIGEST_SIZE);
    this.checksums[index] = crc32c(chunk);
  }
}

/** Memory for the hashes of `count` chunks. */
export const roomForHashes = (count: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(count * (DIGEST_SIZE + CHECKSUM_SIZE));

/** sha256 and CRC-32C of chunks that lie one after another, as ChunkHashes reads them. */
export const hashChunks = (bytes: Buffer, sizes: readonly number[]): Uint8Array<ArrayBuffer> => {
  const made = roomForHashes(sizes.length);
  const hashes = new ChunkHashes(made);
  let from = 0;
  sizes.forEach((size, i) => {
    hashes.make(i, 'sha256', bytes.subarray(from, from + size));
    from += size;
  });
  return made;
};
