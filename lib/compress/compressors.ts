/**
 * Compressors by name. A chunk is only kept compressed if that makes it strictly smaller.
 */
import { allocate, NO_BYTES, sharedAllocator, type Allocator } from '../memory/allocate.js';
import { RafsError } from '../errors.js';
import { compressorWith, COMPRESSORS, type Compressor } from '../layout/compressors.js';
import { lz4Compress, lz4CompressInto, lz4Decompress } from './lz4-block.js';
import { zstdEngine, type ZstdEngine } from './zstd-engine.js';

/** The compressor of a number on disk. */
export const compressorName = (code: number): Compressor => {
  const name = compressorWith(COMPRESSORS, code);
  if (name === undefined) throw new RafsError('CORRUPT', `unknown compressor ${code}`);
  return name;
};

/** Largest output buffer that is kept for the next call. */
const MOST_KEPT = 0x400000;

let zstd: ZstdEngine | undefined;
/** Where zstd frames are made whose size is not yet known. */
let scratch = NO_BYTES;

/**
 * Makes `compress` and `decompress` ready; tells whether zstd produces the reference's bytes.
 *
 * @param warn is told if it does not: for whoever is going to compress
 */
export const prepareCompressors = async (
  warn?: (message: string) => void,
): Promise<{ exact: boolean }> => {
  zstd = await zstdEngine();
  const { exact, encoder } = zstd;
  if (!exact)
    warn?.(`${encoder.name}: blobs will be valid, but their bytes not those of nydus-image`);
  return { exact };
};

const ready = (): ZstdEngine => {
  if (!zstd) throw new Error('prepareCompressors() was not awaited');
  return zstd;
};

const zstdCompress = (bytes: Buffer): Buffer => {
  const { encoder } = ready();
  const bound = compressBound(bytes.length);
  if (bound > MOST_KEPT) {
    // most of it is never touched, so it takes no more memory than the output
    const out = allocate(bound);
    return out.subarray(0, encoder.compressInto(out, bytes));
  }
  if (bound > scratch.length) scratch = Buffer.allocUnsafeSlow(Math.max(bound, 0x110000));
  return Buffer.from(scratch.subarray(0, encoder.compressInto(scratch, bytes)));
};

/** What a compressor does; without a function, it cannot. */
interface Codec {
  /** most bytes that one byte can stand for */
  readonly mostOutput: number;
  /** The compressed bytes, even if they are more. */
  readonly compress?: (bytes: Buffer) => Buffer;
  /** Compresses into `out` at `at`; returns the size, or 0 if it is not smaller. */
  readonly compressInto?: (bytes: Buffer, out: Buffer, at: number) => number;
  /** Decompresses to at most `size` bytes, in memory of `room`. */
  readonly decompress?: (bytes: Buffer, size: number, room: Allocator) => Buffer;
}

const CODECS: Readonly<Record<Compressor, Codec>> = {
  none: { mostOutput: 1 },
  lz4_block: {
    mostOutput: 0x100,
    compress: lz4Compress,
    compressInto: lz4CompressInto,
    decompress: lz4Decompress,
  },
  gzip: { mostOutput: 0x410 }, // layers have it, no chunk on its own
  zstd: {
    mostOutput: 0x8000, // a block of 4 bytes may stand for 128 KiB
    compress: zstdCompress,
    compressInto(bytes, out, at) {
      const size = ready().encoder.compressInto(out.subarray(at), bytes);
      return size < bytes.length ? size : 0;
    },
    decompress(bytes, size, room) {
      const out = room(size);
      return out.subarray(0, ready().decoder.decompressInto(out, bytes));
    },
  },
};

/** The most bytes that one byte of a compressor can stand for. */
export const mostOutput = (compressor: Compressor): number => CODECS[compressor].mostOutput;

/** The compressed bytes if they are strictly fewer, else undefined: keep the input as it is. */
export const compress = (compressor: Compressor, bytes: Buffer): Buffer | undefined => {
  if (compressor === 'none' || bytes.length === 0) return undefined;
  const codec = CODECS[compressor];
  if (!codec.compress) throw new Error(`${compressor} is read, not written`);
  const packed = codec.compress(bytes);
  return packed.length < bytes.length ? packed : undefined;
};

/** A zstd frame, even if it is larger than the bytes; decoders accept several in a row. */
export const zstdFrame = (bytes: Buffer): Buffer => zstdCompress(bytes);

/** Most bytes that the compressed form of `size` bytes may take, with any compressor. */
export const compressBound = (size: number): number => size + (size >> 7) + 0x100;

/**
 * Like `compress`, but into `out` at `at`, where there is room for `compressBound` bytes: returns
 * the stored size, or 0 if it is not smaller. Native zstd and lz4 leave nothing to collect.
 */
export const compressInto = (
  compressor: Compressor,
  bytes: Buffer,
  out: Buffer,
  at: number,
): number => {
  const into = CODECS[compressor].compressInto;
  if (into && bytes.length > 0) return into(bytes, out, at);
  return compress(compressor, bytes)?.copy(out, at) ?? 0;
};

/**
 * Decompresses to exactly `size` bytes; the caller must have bounded `size`.
 *
 * @param room makes the memory for the bytes
 */
export const decompress = (
  compressor: Compressor,
  bytes: Buffer,
  size: number,
  room: Allocator = sharedAllocator,
): Buffer => {
  const codec = CODECS[compressor];
  if (!codec.decompress) {
    throw new RafsError('UNSUPPORTED', `chunks compressed with ${compressor} are not supported`);
  }
  let plain: Buffer;
  try {
    plain = codec.decompress(bytes, size, room);
  } catch (error) {
    if (error instanceof RafsError) throw error;
    throw new RafsError('CORRUPT', `${compressor}: ${(error as Error).message}`);
  }
  if (plain.length !== size) {
    throw new RafsError('CORRUPT', `${compressor}: expected ${size} bytes, got ${plain.length}`);
  }
  return plain;
};
