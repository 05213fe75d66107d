/**
 * The hash tree of dm-verity: format 1, sha256; pages of 4096 bytes with 128 digests; a salt and
 * a superblock if they are wanted.
 *
 * Level 1 has the digest of every data block, each further level that of every page of the level
 * before, up to a level of one page, whose digest is the root. Levels are stored from the top down.
 * Unused slots are zero, as veritysetup requires; nydus-image puts the digest of a page of zeros
 * there, so its roots differ.
 */
import { alignUp } from '../layout/align.js';
import { sha256Into, DIGEST_SIZE } from '../crypto/digest.js';
import { RafsError } from '../errors.js';
import { VERITY_SALT_LIMIT, VeritySuperBlock } from '../layout/verity.js';

export const HASH_BLOCK = 4096;
const PER_PAGE = HASH_BLOCK / DIGEST_SIZE;

export interface VerityPlan {
  blockSize: number;
  blockCount: number;
  /** bytes of data, and where the superblock or else the tree starts; zeros fill the gap */
  dataSize: number;
  hashOffset: number;
  /** pages of each level, level 1 first; no level for a single block, whose digest is the root */
  levelPages: readonly number[];
  /** bytes of data and tree together */
  size: number;
  /** hashed before each block */
  salt: Uint8Array;
  /** bytes before the tree, which say how it was made; none unless wanted */
  superBlock: Buffer;
}

export interface VerityOptions {
  /** default: none */
  salt?: Uint8Array | undefined;
  /** write a superblock with this UUID, 16 bytes */
  superBlock?: Buffer | undefined;
}

/** @param dataSize bytes, a multiple of `blockSize` */
export const planVerity = (
  dataSize: number,
  blockSize: number,
  { salt = NO_SALT, superBlock: uuid }: VerityOptions = {},
): VerityPlan => {
  if (salt.length > VERITY_SALT_LIMIT) {
    const message = `a salt of ${salt.length} bytes exceeds the limit of ${VERITY_SALT_LIMIT}`;
    throw new RafsError('LIMIT', message);
  }
  const blockCount = dataSize / blockSize;
  const levelPages: number[] = [];
  for (let count = blockCount; count > 1;) {
    count = Math.ceil(count / PER_PAGE);
    levelPages.push(count);
  }
  const hashOffset = alignUp(dataSize, HASH_BLOCK);
  const superBlock = Buffer.alloc(uuid ? HASH_BLOCK : 0);
  if (uuid) {
    const padded = Buffer.alloc(VERITY_SALT_LIMIT);
    padded.set(salt);
    VeritySuperBlock.encodeInto(superBlock, 0, {
      uuid,
      dataBlockSize: blockSize,
      hashBlockSize: HASH_BLOCK,
      dataBlocks: blockCount,
      saltSize: salt.length,
      salt: padded,
    });
  }
  const pages = levelPages.reduce((sum, count) => sum + count, 0);
  return {
    blockSize,
    blockCount,
    dataSize,
    hashOffset,
    levelPages,
    size: hashOffset + superBlock.length + pages * HASH_BLOCK,
    salt,
    superBlock,
  };
};

const NO_SALT = new Uint8Array(0);

/**
 * The options of veritysetup for an image. Clients match this line with a pattern anchored at its
 * first byte.
 *
 * @param root in hex
 */
export const verityOptions = (
  { blockSize, blockCount, hashOffset, salt, superBlock }: VerityPlan,
  root: string,
): string => {
  // it says the rest itself
  if (superBlock.length > 0) return `dm-verity options: --hash-offset ${hashOffset} ${root}`;
  const shownSalt = salt.length === 0 ? '""' : Buffer.from(salt).toString('hex');
  return (
    `dm-verity options: --no-superblock --format=1 -s ${shownSalt} --hash=sha256 ` +
    `--data-block-size=${blockSize} --hash-block-size=${HASH_BLOCK} ` +
    `--data-blocks ${blockCount} --hash-offset ${hashOffset} ${root}`
  );
};

/** The digests of all blocks, one after another. The last block may be short. */
export const blockDigests = (
  bytes: Buffer,
  blockSize: number,
  salt: Uint8Array = NO_SALT,
): Uint8Array<ArrayBuffer> => {
  const digests = new Uint8Array(Math.ceil(bytes.length / blockSize) * DIGEST_SIZE);
  const target = Buffer.from(digests.buffer);
  for (let at = 0, to = 0; at < bytes.length; at += blockSize, to += DIGEST_SIZE) {
    saltedInto(salt, bytes.subarray(at, at + blockSize), target, to);
  }
  return digests;
};

const saltedInto = (salt: Uint8Array, bytes: Buffer, target: Buffer, at: number): void =>
  sha256Into(salt.length === 0 ? bytes : Buffer.concat([salt, bytes]), target, at);

/** Makes pages from digests of data blocks. Holds a page of level 1, and the levels above it. */
export class HashTree {
  readonly #depth: number;
  readonly #salt: Uint8Array;
  /** the page of each level that is being filled */
  readonly #open: { page: Buffer; used: number }[];
  /** complete pages of the levels above level 1 */
  readonly #upper: Buffer[][];
  #first: Buffer[] = [];
  #root: Buffer | undefined;

  constructor({ levelPages, salt }: VerityPlan) {
    this.#salt = salt;
    this.#depth = levelPages.length;
    this.#open = levelPages.map(() => ({ page: Buffer.alloc(HASH_BLOCK), used: 0 }));
    this.#upper = levelPages.map(() => []);
  }

  /** Adds digests of the next data blocks; returns the pages of level 1 that they complete. */
  add(digests: Uint8Array): Buffer[] {
    if (this.#depth === 0) this.#root = Buffer.from(digests);
    else this.#add(0, digests);
    return this.#taken();
  }

  /** Completes the tree; gives the last page of level 1, if any, the other levels and the root. */
  end(): { first: Buffer[]; upper: Buffer[]; root: string } {
    for (let level = 0; level < this.#depth; level++) {
      if (this.#open[level]!.used > 0) this.#close(level);
    }
    if (!this.#root) throw new Error('a tree of no blocks has no root');
    return {
      first: this.#taken(),
      upper: this.#upper.slice(1).reverse().flat(),
      root: this.#root.toString('hex'),
    };
  }

  #taken(): Buffer[] {
    const pages = this.#first;
    this.#first = [];
    return pages;
  }

  #add(level: number, digests: Uint8Array): void {
    const open = this.#open[level]!;
    for (let at = 0; at < digests.length;) {
      const size = Math.min(HASH_BLOCK - open.used, digests.length - at);
      open.page.set(digests.subarray(at, at + size), open.used);
      open.used += size;
      at += size;
      if (open.used === HASH_BLOCK) this.#close(level);
    }
  }

  #close(level: number): void {
    const open = this.#open[level]!;
    const { page } = open;
    (level === 0 ? this.#first : this.#upper[level]!).push(page);
    open.page = Buffer.alloc(HASH_BLOCK); // unused slots stay zero
    open.used = 0;
    const digest = Buffer.alloc(DIGEST_SIZE);
    saltedInto(this.#salt, page, digest, 0);
    if (level + 1 < this.#depth) this.#add(level + 1, digest);
    else this.#root = digest;
  }
}
