/** Converts between a blob and its entry in a v6 blob table. */
import type { BlobEntry } from '../../layout/rafs-v6.js';
import { Cipher } from '../../layout/rafs.js';
import type { BlobInfo } from '../../model/blob.js';
import { u64, type ValueOf } from '../../layout/struct.js';

const IV_HALF = 8;

/** @param blobIndex its place in the table */
export const blobEntryOf = (blob: BlobInfo, blobIndex: number): ValueOf<typeof BlobEntry> => {
  const iv = blob.cipherIv;
  const metaSize = Buffer.alloc(u64.size);
  u64.write(metaSize, 0, blob.metaSize);
  return {
    blobId: blob.id,
    blobIndex,
    chunkSize: blob.chunkSize,
    chunkCount: blob.chunkCount,
    compressor: blob.compressor,
    digester: blob.digester,
    features: blob.features,
    compressedSize: blob.compressedSize,
    uncompressedSize: blob.uncompressedSize,
    tocSize: blob.tocSize,
    ciCompressor: blob.ciCompressor,
    ciOffset: blob.ciOffset,
    ciCompressedSize: blob.ciCompressedSize,
    ciUncompressedSize: blob.ciUncompressedSize,
    tocDigest: blob.tocDigest,
    metaDigest: blob.metaDigest,
    // an encrypted blob keeps half of its IV in this field
    metaSize: iv ? iv.subarray(0, IV_HALF) : metaSize,
    cipherIv: iv ? iv.subarray(IV_HALF) : Buffer.alloc(IV_HALF),
    cipher: iv ? Cipher.AES_128_XTS : Cipher.NONE,
  };
};

/** Does not check the entry. */
export const blobOfEntry = (entry: ValueOf<typeof BlobEntry>): BlobInfo => ({
  id: entry.blobId,
  chunkSize: entry.chunkSize,
  chunkCount: entry.chunkCount,
  compressor: entry.compressor,
  digester: entry.digester,
  features: entry.features,
  compressedSize: entry.compressedSize,
  uncompressedSize: entry.uncompressedSize,
  tocSize: entry.tocSize,
  tocDigest: entry.tocDigest,
  ciCompressor: entry.ciCompressor,
  ciOffset: entry.ciOffset,
  ciCompressedSize: entry.ciCompressedSize,
  ciUncompressedSize: entry.ciUncompressedSize,
  metaDigest: entry.metaDigest,
  ...(entry.cipher === Cipher.NONE
    ? { metaSize: u64.read(entry.metaSize, 0) }
    : { metaSize: 0, cipherIv: Buffer.concat([entry.metaSize, entry.cipherIv]) }),
});
