/** CRC-32 as gzip and EROFS have it. */

import { createRequire } from 'node:module';
import zlib from 'node:zlib';

const require = createRequire(import.meta.url);

type Crc32 = (bytes: Uint8Array, before?: number) => number;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** CRC-32 in plain JavaScript, for where neither Node nor a native package has it. */
export const crc32Plain: Crc32 = (bytes, before = 0) => {
  let c = ~before;
  for (let i = 0; i < bytes.length; i++) c = CRC_TABLE[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
};

/** CRC-32 as in gzip, continued from the CRC `before`; of "123456789" it is 0xcbf43926. */
export const crc32: Crc32 = (() => {
  try {
    const made = (require('@node-rs/crc32') as typeof import('@node-rs/crc32')).crc32;
    return (bytes: Uint8Array, before = 0) => made(bytes, before);
  } catch {
    // node:zlib has it since 20.15 and 22.2, but its types do not say so; it is slower
    return (zlib as { crc32?: Crc32 }).crc32 ?? crc32Plain;
  }
})();
