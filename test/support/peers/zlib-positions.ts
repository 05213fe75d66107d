/** Where C zlib stands in a gzip source when it has made so much output: by pako, which is the same. */
import * as pako from 'pako';

export interface ZlibBoundary {
  inOffset: number;
  outOffset: number;
  bits: number;
}

export interface ZlibStop {
  inOffset: number;
  outOffset: number;
  /** the last one up to here */
  boundary: ZlibBoundary;
}

const GZIP_ONLY = 31;
const BOUNDARY = 0x80;

/**
 * Inflates a gzip source in steps of the given sizes, from pieces of 64 KiB of input, stopping at
 * every block end.
 */
export const zlibStops = (source: Buffer, sizes: readonly number[]): ZlibStop[] => {
  const strm = new pako.ZStream();
  pako.zlibInflateInit2(strm, GZIP_ONLY);
  strm.input = source;
  strm.next_in = 0;
  strm.avail_in = 0;
  let pieceEnd = 0;
  let made = 0;
  let boundary: ZlibBoundary = { inOffset: 0, outOffset: 0, bits: 0 };
  return sizes.map(size => {
    const target = made + size;
    while (made < target) {
      if (strm.avail_in === 0) {
        const end = Math.min(pieceEnd + 0x10000, source.length);
        if (end === pieceEnd) throw new Error(`the source makes ${made} bytes`);
        strm.avail_in = end - pieceEnd;
        pieceEnd = end;
      }
      strm.output = new Uint8Array(target - made);
      strm.next_out = 0;
      strm.avail_out = target - made;
      const status = pako.zlibInflate(strm, pako.Z_BLOCK);
      made += strm.next_out;
      if (status === pako.Z_STREAM_END) {
        pako.zlibInflateReset(strm);
        continue;
      }
      if (status !== pako.Z_OK && status !== pako.Z_BUF_ERROR) throw new Error(`pako: ${status}`);
      if (status === pako.Z_OK && strm.data_type & BOUNDARY) {
        boundary = { inOffset: strm.next_in, outOffset: made, bits: strm.data_type & 7 };
      }
    }
    return { inOffset: strm.next_in, outOffset: made, boundary };
  });
};
