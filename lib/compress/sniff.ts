import { DEFLATE } from './gzip-header.js';

export type Compression = 'none' | 'gzip' | 'zstd';

/** How many bytes `sniff` looks at. */
export const SNIFFED_SIZE = 4;

/** Decides by the first SNIFFED_SIZE bytes of a source, or fewer if it has no more. */
export const sniff = (head: Buffer): Compression => {
  if (head.length >= 3 && head[0] === 0x1f && head[1] === 0x8b && head[2] === DEFLATE) {
    return 'gzip';
  }
  if (head.length < 4) return 'none';
  const [a, b, c, d] = head;
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd';
  // a skippable frame, 0x184d2a50 to 0x184d2a5f: seekable and signed streams begin with one
  if ((a! & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) return 'zstd';
  return 'none';
};
