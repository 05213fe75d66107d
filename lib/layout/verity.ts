/** The superblock of dm-verity, as cryptsetup's veritysetup writes it before a hash tree. */
import { bytes, fixed, pad, struct, text, u16, u32, u64 } from './struct.js';

export const VERITY_SALT_LIMIT = 256;

export const VeritySuperBlock = struct('VeritySuperBlock', 512, {
  signature: fixed(text(8), 'verity'),
  version: fixed(u32, 1),
  hashType: fixed(u32, 1), // the salt comes first
  uuid: bytes(16),
  algorithm: fixed(text(32), 'sha256'),
  dataBlockSize: u32,
  hashBlockSize: u32,
  dataBlocks: u64,
  saltSize: u16,
  padding: pad(6),
  salt: bytes(VERITY_SALT_LIMIT),
  reserved: pad(168),
});
