/**
 * Encryption of blobs: AES-128-XTS (IEEE 1619) with ciphertext stealing. Each stored unit (a chunk,
 * a batch, the CI table, its header) is one data unit, and all of a blob share one key and one IV.
 *
 * The cipher cannot encrypt fewer than 16 bytes: such units are padded to 18, and the padding is
 * recognised by its last two bytes. So a unit of 18 bytes that happens to end like that cannot be
 * told from a padded one; writers have to avoid it (`isMistakable`).
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { RafsError } from '../errors.js';

/** Key and IV of one blob; both are in its bootstrap, unencrypted. */
export interface Secret {
  /** 32 bytes: two keys of AES-128, which must differ */
  readonly key: Buffer;
  /** 16 bytes: the tweak of every unit */
  readonly iv: Buffer;
}

const ALGORITHM = 'aes-128-xts';
const AES_BLOCK = 16;
/** Length of a padded unit. */
const PADDED = 18;
const PADDING_END = Buffer.from([0x78, 0x90]);
/** The largest data unit that IEEE 1619 allows: 2^20 blocks. */
const MAX_UNIT = 0x100_0000;
const KEY_HALF = 16;

/** A secret for one blob: the only thing in an image that is not the same every time. */
export const newSecret = (): Secret => ({
  key: distinctHalves(randomBytes(2 * KEY_HALF)),
  iv: randomBytes(AES_BLOCK),
});

/** The key, with its first half replaced if both halves are equal. */
export const distinctHalves = (key: Buffer): Buffer => {
  const second = key.subarray(KEY_HALF);
  if (!key.subarray(0, KEY_HALF).equals(second)) return key;
  return Buffer.concat([Buffer.alloc(KEY_HALF, second[0] === 0xa5 ? 0x5a : 0xa5), second]);
};

/** The key and IV of a blob as a blob table has them; undefined if it is not encrypted. */
export const secretOf = (blob: {
  readonly metaDigest: Buffer;
  readonly cipherIv?: Buffer | undefined;
}): Secret | undefined => blob.cipherIv && { key: blob.metaDigest, iv: blob.cipherIv };

/**
 * A batch must not be smaller: readers require it to be stored in no more bytes than it has, and in
 * exactly as many only if it is not compressed.
 */
export const LEAST_SEALED_BATCH = PADDED + 1;

/** Whether bytes, encrypted as they are, would be taken for padded ones when they are read. */
export const isMistakable = (bytes: Buffer): boolean =>
  bytes.length === PADDED && bytes.subarray(AES_BLOCK).equals(PADDING_END);

/** As many bytes, or 18 if there are fewer than 16. LIMIT for more than one data unit holds. */
export const encrypt = ({ key, iv }: Secret, plain: Buffer): Buffer => {
  if (plain.length > MAX_UNIT) {
    throw new RafsError('LIMIT', `cannot encrypt ${plain.length} bytes, more than ${MAX_UNIT}`);
  }
  const cipher = createCipheriv(ALGORITHM, key, iv);
  return cipher.update(plain.length < AES_BLOCK ? pad(plain) : plain); // one data unit, one call
};

/** The size of a unit of `size` bytes once it is encrypted. */
export const sealedSize = (size: number): number => (size < AES_BLOCK ? PADDED : size);

const pad = (plain: Buffer): Buffer => {
  const missing = AES_BLOCK - plain.length;
  return Buffer.concat([plain, Buffer.alloc(missing, missing), PADDING_END]);
};

/**
 * The bytes that were encrypted. CORRUPT for anything that is not a data unit. A wrong key gives
 * arbitrary bytes; MISMATCH if there are not `size` of them.
 *
 * @param size how many there must be, if that is known: it tells padding from what looks like it
 */
export const decrypt = ({ key, iv }: Secret, stored: Buffer, size?: number): Buffer => {
  if (stored.length < AES_BLOCK || stored.length > MAX_UNIT) {
    throw new RafsError('CORRUPT', `invalid encrypted size ${stored.length}`);
  }
  const plain = createDecipheriv(ALGORITHM, key, iv).update(stored);
  const bytes = size !== plain.length && isMistakable(plain) ? unpad(plain) : plain;
  if (size !== undefined && bytes.length !== size) {
    const what = `${stored.length} bytes do not decrypt to ${size}`;
    throw new RafsError('MISMATCH', `${what}: they were altered, or the key is wrong`);
  }
  return bytes;
};

const unpad = (padded: Buffer): Buffer => {
  const missing = padded[AES_BLOCK - 1]!;
  if (missing >= 1 && missing <= AES_BLOCK) {
    const plain = padded.subarray(0, AES_BLOCK - missing);
    if (pad(plain).equals(padded)) return plain;
  }
  return padded; // they end like that by chance
};
