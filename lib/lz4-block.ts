import { RafsError } from './errors.js';
export const lz4Compress = (bytes: Buffer): Buffer => {
  throw new RafsError('UNSUPPORTED', `lz4 of ${bytes.length}`);
};
export const lz4Decompress = (bytes: Buffer, size: number): Buffer => {
  throw new RafsError('UNSUPPORTED', `lz4 of ${bytes.length} to ${size}`);
};
