/** Makes gzip headers with any fields (RFC 1952, 2.3). */
import zlib from 'node:zlib';
import { crc32Plain } from '../../../lib/compress/crc32.js';

export interface GzipFields {
  extra?: Uint8Array;
  /** without zeros, like `comment` */
  name?: Uint8Array;
  comment?: Uint8Array;
  /** the header's own checksum */
  crc?: boolean;
}

export const gzipHeader = ({ extra, name, comment, crc }: GzipFields): Buffer => {
  const flags = (crc ? 2 : 0) | (extra ? 4 : 0) | (name ? 8 : 0) | (comment ? 16 : 0);
  const pieces: Uint8Array[] = [Buffer.from([0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3])];
  if (extra) pieces.push(Buffer.from([extra.length & 0xff, extra.length >> 8]), extra);
  if (name) pieces.push(name, Buffer.alloc(1));
  if (comment) pieces.push(comment, Buffer.alloc(1));
  const sum = crc32Plain(Buffer.concat(pieces));
  if (crc) pieces.push(Buffer.from([sum & 0xff, (sum >> 8) & 0xff]));
  return Buffer.concat(pieces);
};

const PLAIN_HEADER_SIZE = 10;

/** A gzip member whose header has the given fields. */
export const gzipMember = (
  plain: Uint8Array,
  fields: GzipFields = {},
  options: zlib.ZlibOptions = {},
): Buffer =>
  Buffer.concat([gzipHeader(fields), zlib.gzipSync(plain, options).subarray(PLAIN_HEADER_SIZE)]);
