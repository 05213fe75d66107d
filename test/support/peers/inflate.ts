/** Drives an Inflater, and pako, which does as C zlib does, over whole streams. */
import * as pako from 'pako';
import { Inflater, type InflateStart } from '../../../lib/compress/inflate.js';

/** The end of a deflate block. */
export interface BlockEnd {
  inputOffset: number;
  unusedBits: number;
  outputOffset: number;
}

export interface Inflated {
  plain: Buffer;
  blocks: BlockEnd[];
  /** the stream's last block ended; else the input did before it */
  ended: boolean;
  inputOffset: number;
}

export interface InflateOptions {
  /** bytes fed at a time; all at once unless given */
  feed?: number;
  start?: InflateStart;
  /** used again, which is much cheaper than a new one; its offsets go on */
  inflater?: Inflater;
  onBlock?: (inflater: Inflater) => void;
}

export const inflateAll = (
  stream: Uint8Array,
  { feed = Infinity, start, inflater = new Inflater(), onBlock }: InflateOptions = {},
): Inflated => {
  inflater.skip(inflater.unused.length);
  inflater.begin(start);
  const pieces: Buffer[] = [];
  const blocks: BlockEnd[] = [];
  for (let at = 0; ;) {
    const stop = inflater.run();
    if (stop === 'block' || stop === 'end') {
      const { inputOffset, unusedBits, outputOffset } = inflater;
      blocks.push({ inputOffset, unusedBits, outputOffset });
      onBlock?.(inflater);
    }
    if (stop === 'block') continue;
    pieces.push(inflater.take());
    if (stop === 'end' || (stop === 'input' && at === stream.length)) {
      const plain = Buffer.concat(pieces);
      return { plain, blocks, ended: stop === 'end', inputOffset: inflater.inputOffset };
    }
    if (stop === 'input') at += inflater.feed(stream.subarray(at, at + feed));
  }
};

const BLOCK_END = 0x80;

/** A raw inflater of pako's that makes `room` bytes more at each call of `next`. */
export const zlibStops = (stream: Uint8Array) => {
  const strm = new pako.ZStream();
  pako.zlibInflateInit2(strm, -15);
  strm.input = stream;
  strm.avail_in = stream.length;
  let made = 0;
  return {
    /** Inflates to the next block end, or until there are `room` bytes. */
    next(room: number) {
      strm.output = new Uint8Array(room);
      strm.next_out = 0;
      strm.avail_out = room;
      const status = pako.zlibInflate(strm, pako.Z_BLOCK);
      made += strm.next_out;
      return {
        status,
        made: strm.next_out,
        atBlockEnd: (strm.data_type & BLOCK_END) !== 0,
        ended: status === pako.Z_STREAM_END,
        inputOffset: strm.next_in,
        unusedBits: strm.data_type & 7,
        outputOffset: made,
      };
    },
  };
};

/** The block ends of a valid stream of at most `size` bytes, by pako. */
export const zlibBlocks = (stream: Uint8Array, size: number): BlockEnd[] => {
  const stops = zlibStops(stream);
  const blocks: BlockEnd[] = [];
  for (;;) {
    const stop = stops.next(size + 1);
    const { inputOffset, unusedBits, outputOffset } = stop;
    if (stop.atBlockEnd) blocks.push({ inputOffset, unusedBits, outputOffset });
    if (stop.ended) return blocks;
    if (stop.status !== pako.Z_OK) throw new Error(`pako: ${stop.status}`);
  }
};
