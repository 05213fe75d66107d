/** Digests and checksums by name. */
import crypto, { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { RafsError } from '../errors.js';

const require = createRequire(import.meta.url);

/** Bytes of a digest, blake3 or sha256. */
export const DIGEST_SIZE = 32;
/** Stands where an image has no digest. */
export const NO_DIGEST = Buffer.alloc(DIGEST_SIZE);

/** Digest algorithms of chunks, and their numbers on disk. */
export const DIGESTERS = { blake3: 0, sha256: 1 } as const;
export type Digester = keyof typeof DIGESTERS;

export const digesterName = (id: number): Digester => {
  for (const [name, number] of Object.entries(DIGESTERS)) {
    if (number === id) return name as Digester;
  }
  throw new RafsError('CORRUPT', `unknown digest algorithm ${id}`);
};

/** Node has it since 20.12: making a hash object takes longer than hashing a small file. */
const oneShot = (crypto as { hash?: typeof crypto.hash }).hash;

export const sha256 = (bytes: Uint8Array): Buffer =>
  oneShot ? oneShot('sha256', bytes, 'buffer') : createHash('sha256').update(bytes).digest();

/** Writes the sha256 of bytes to `target`: making a buffer takes longer than hashing a block. */
export const sha256Into = (bytes: Uint8Array, target: Buffer, at: number): void => {
  if (oneShot) target.write(oneShot('sha256', bytes, 'binary'), at, 'latin1');
  else target.set(sha256(bytes), at);
};

/** Hashes bytes to base64url text: native code takes four times as long to make a buffer. */
type TextHash = (bytes: Uint8Array) => string;
let blake3: TextHash | undefined;

/** Makes `digest` ready: blake3 is native if its package supports this machine, else wasm. */
export const prepareDigests = async (): Promise<void> => {
  if (blake3) return;
  try {
    const native = require('@napi-rs/blake-hash') as typeof import('@napi-rs/blake-hash');
    blake3 = native.blake3UrlSafeBase64 as TextHash; // any typed array will do
  } catch {
    const { createBLAKE3 } = await import('hash-wasm');
    const hasher = await createBLAKE3();
    blake3 = bytes =>
      Buffer.from(hasher.init().update(bytes).digest('binary')).toString('base64url');
  }
};

/** The digest of a chunk: 32 bytes. Needs `prepareDigests` for blake3. */
export const digest = (digester: Digester, bytes: Uint8Array): Buffer => {
  if (digester === 'sha256') return sha256(bytes);
  return Buffer.from(blake3Of(bytes), 'base64url');
};

/** Writes the digest of a chunk to `target`, as `digest` makes it. */
export const digestInto = (
  digester: Digester,
  bytes: Uint8Array,
  target: Buffer,
  at: number,
): void => {
  if (digester === 'sha256') sha256Into(bytes, target, at);
  else target.write(blake3Of(bytes), at, 'base64url');
};

const blake3Of = (bytes: Uint8Array): string => {
  if (!blake3) throw new Error('prepareDigests() was not awaited');
  return blake3(bytes);
};

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c;
});

/** CRC-32C in plain JavaScript, for machines that `@node-rs/crc32` has no build for. */
export const crc32cPlain = (bytes: Uint8Array): number => {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = CRC_TABLE[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
};

/** CRC-32C (iSCSI): polynomial 0x1edc6f41 reflected; of "123456789" it is 0xe3069283. */
export const crc32c: (bytes: Uint8Array) => number = (() => {
  try {
    return (require('@node-rs/crc32') as typeof import('@node-rs/crc32')).crc32c;
  } catch {
    return crc32cPlain;
  }
})();
