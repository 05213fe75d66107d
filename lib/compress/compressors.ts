/**
 * Compressors by name. A chunk is only kept compressed if that makes it strictly smaller.
 *
 * zstd must produce the bytes of libzstd 1.5.6's one-shot call at level 3, as nydus-image does:
 * streaming encoders and other versions produce others.
 */
import { createRequire } from 'node:module';
import { allocate, sharedAllocator, type Allocator } from '../memory/allocate.js';
import { RafsError } from '../errors.js';
import { lz4Compress, lz4CompressInto, lz4Decompress } from './lz4-block.js';
import { u16, u32, u64, u8 } from '../layout/struct.js';
import { zstdFramesOf } from './zstd-frames.js';

const require = createRequire(import.meta.url);

/** Compressors and their numbers on disk. Only layers that are referenced use gzip. */
export const COMPRESSORS = { none: 0, lz4_block: 1, gzip: 2, zstd: 3 } as const;
export type Compressor = keyof typeof COMPRESSORS;

export const compressorName = (id: number): Compressor => {
  for (const [name, number] of Object.entries(COMPRESSORS)) {
    if (number === id) return name as Compressor;
  }
  throw new RafsError('CORRUPT', `unknown compressor ${id}`);
};

const ZSTD_LEVEL = 3;
/** Largest output buffer that is kept for the next call. */
const MOST_KEPT = 0x400000;
const ZSTD_MAGIC = 0xfd2fb528;

interface Zstd {
  /** false if the compressed bytes are not those of libzstd 1.5.6 */
  readonly exact: boolean;
  compress(bytes: Uint8Array): Buffer;
  /** Compresses into `out`, which has room for `compressBound` bytes; returns the size. */
  compressInto(out: Uint8Array, bytes: Uint8Array): number;
  /** Decompresses into `out`; returns the size. Fails if `out` has not enough room. */
  decompressInto(out: Buffer, bytes: Buffer): number;
}

let zstd: Zstd | undefined;

const nativeZstd = (): Zstd => {
  const binding = require('zstd-napi/binding.js') as typeof import('zstd-napi/binding.js');
  const encoder = new binding.CCtx();
  const decoder = new binding.DCtx();
  let scratch = Buffer.allocUnsafeSlow(0x110000);
  return {
    exact: true,
    compress(bytes) {
      const bound = compressBound(bytes.length);
      if (bound > MOST_KEPT) {
        // most of it is never touched, so it takes no more memory than the output
        const out = allocate(bound);
        return out.subarray(0, encoder.compress(out, bytes, ZSTD_LEVEL));
      }
      if (bound > scratch.length) scratch = Buffer.allocUnsafeSlow(bound);
      return Buffer.from(scratch.subarray(0, encoder.compress(scratch, bytes, ZSTD_LEVEL)));
    },
    compressInto: (out, bytes) => encoder.compress(out, bytes, ZSTD_LEVEL),
    decompressInto: (out, bytes) => decoder.decompress(out, bytes),
  };
};

/** How many bytes a zstd frame says it decompresses to, if it does (RFC 8878, 3.1.1.1). */
const frameContentSize = (frame: Buffer): number | undefined => {
  const descriptor = frame[4] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const at = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
  const field = [singleSegment ? u8 : undefined, u16, u32, u64][descriptor >> 6];
  if (frame.length < at + (field?.size ?? 0) || u32.read(frame, 0) !== ZSTD_MAGIC) {
    throw new RafsError('CORRUPT', `zstd: ${frame.length} bytes that are no frame`);
  }
  return field && field.read(frame, at) + (field === u16 ? 256 : 0);
};

const wasmZstd = async (): Promise<Zstd> => {
  const wasm = await import('@bokuweb/zstd-wasm');
  await wasm.init();
  return {
    exact: false,
    compress: bytes => Buffer.from(wasm.compress(bytes, ZSTD_LEVEL)),
    compressInto(out, bytes) {
      const packed = wasm.compress(bytes, ZSTD_LEVEL);
      out.set(packed);
      return packed.length;
    },
    decompressInto(out, bytes) {
      let done = 0;
      for (const frame of zstdFramesOf(bytes)) {
        const left = out.length - done;
        // the package allocates as much as the frame states
        const stated = frameContentSize(frame) ?? left;
        if (stated > left) throw new RafsError('CORRUPT', `zstd: over ${out.length} bytes`);
        const part = wasm.decompress(frame, { defaultHeapSize: stated });
        if (part.length > left) throw new RafsError('CORRUPT', `zstd: over ${out.length} bytes`);
        out.set(part, done);
        done += part.length;
      }
      return done;
    },
  };
};

/** Makes `compress` and `decompress` ready; tells whether zstd produces the reference's bytes. */
export const prepareCompressors = async (): Promise<{ exact: boolean }> => {
  preparing ??= loadZstd();
  zstd = await preparing;
  return { exact: zstd.exact };
};

/** One for all callers: the wasm package breaks if it is initialised twice. */
let preparing: Promise<Zstd> | undefined;

const loadZstd = async (): Promise<Zstd> => {
  try {
    return nativeZstd();
  } catch {
    return wasmZstd();
  }
};

const ready = (): Zstd => {
  if (!zstd) throw new Error('prepareCompressors() was not awaited');
  return zstd;
};

/** The compressed bytes if they are strictly fewer, else undefined: keep the input as it is. */
export const compress = (compressor: Compressor, bytes: Buffer): Buffer | undefined => {
  if (compressor === 'none' || bytes.length === 0) return undefined;
  if (compressor === 'gzip') throw new Error('gzip is read, not written');
  const packed = compressor === 'zstd' ? ready().compress(bytes) : lz4Compress(bytes);
  return packed.length < bytes.length ? packed : undefined;
};

/** A zstd frame, even if it is larger than the bytes; decoders accept several in a row. */
export const zstdFrame = (bytes: Buffer): Buffer => ready().compress(bytes);

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
    const size = ready().compressInto(out.subarray(at), bytes);
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
      plain = out.subarray(0, ready().decompressInto(out, bytes));
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
