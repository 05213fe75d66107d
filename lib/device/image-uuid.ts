/** The UUID of a disk image: made of its bootstrap, so that the same image always has the same one. */
import { sha256 } from '../crypto/digest.js';
import { SuperBlock, V6 } from '../layout/rafs-v6.js';

/** 16 bytes of the digest; version 8 is for what each program makes in its own way. */
export const imageUuid = (bootstrap: Buffer): Buffer => {
  const uuid = Buffer.from(sha256(bootstrap).subarray(0, 16));
  uuid[6] = (uuid[6]! & 0x0f) | 0x80;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
};

/** A copy of an EROFS image, or of its beginning, with a UUID in the superblock. */
export const withUuid = (image: Buffer, uuid: Buffer): Buffer => {
  const copy = Buffer.from(image);
  uuid.copy(copy, V6.SUPER_OFFSET + SuperBlock.offsets.uuid);
  return copy;
};
