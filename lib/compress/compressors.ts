/**
 * Compressors by name. A chunk is only kept compressed if that makes it strictly smaller.
 */
import { allocate, NO_BYTES, sharedAllocator, type Allocator } from '../memory/allocate.js';
import { RafsError } from '../errors.js';
import { lz4Compress, lz4CompressInto, lz4Decompress } from './lz4-block.js';
import { zstdEngine, type ZstdEngine } from './zstd-engine.js';

/** Compressors and their numbers on disk. Only layers that are referenced use gzip. */
export const COMPRESSORS = { none: 0, lz4_block: 1, gzip: 2, zstd: 3 } as const;
export type Compressor = keyof typeof COMPRESSORS;

export const compressorName = (id: number): Compressor => {
  for (const [name, number] of Object.entries(COMPRESSORS)) {
    if (number === id) return name as Compressor;
  }
  throw new RafsError('CORRUPT', `unknown compressor ${id}`);
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

/** The compressed bytes if they are strictly fewer, else undefined: keep the input as it is. */
export const compress = (compressor: Compressor, bytes: Buffer): Buffer | undefined => {
  if (compressor === 'none' || bytes.length === 0) return undefined;
  if (compressor === 'gzip') throw new Error('gzip is read, not written');
  const packed = compressor === 'zstd' ? zstdCompress(bytes) : lz4Compress(bytes);
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
  if (compressor === 'zstd' && bytes.length > 0) {
    const size = ready().encoder.compressInto(out.subarray(at), bytes);
    return size < bytes.length ? size : 0;
  }
  if (compressor === 'lz4_block' && bytes.length > 0) return lz4CompressInto(bytes, out, at);
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
  let plain: Buffer;
  try {
    if (compressor === 'zstd') {
      const out = room(size);
      plain = out.subarray(0, ready().decoder.decompressInto(out, bytes));
    } else if (compressor === 'lz4_block') plain = lz4Decompress(bytes, size, room);
    else throw new RafsError('UNSUPPORTED', `chunks compressed with ${compressor}`);
  } catch (error) {
    if (error instanceof RafsError) throw error;
    throw new RafsError('CORRUPT', `${compressor}: ${(error as Error).message}`);
  }
  if (plain.length !== size) {
    throw new RafsError('CORRUPT', `${compressor}: ${plain.length} bytes, not ${size}`);
  }
  return plain;
};
