/**
 * LZ4 blocks: the raw block format, without frame or size.
 *
 * Compressed bytes are the same as those of LZ4 1.10's LZ4_compress_default on a 64-bit machine;
 * see assembly/lz4-block.ts.
 */
import { sharedAllocator, type Allocator } from '../memory/allocate.js';
import { copyShared } from '../memory/byte-queue.js';
import { RafsError } from '../errors.js';
import { instantiate } from './wasm.js';

interface Coder {
  inputAt(): number;
  compress(size: number, output: number): number;
  decompress(size: number, output: number, outputSize: number): number;
}

/** Room after input and output, because both coders read and write whole words. */
const SLACK = 64;
const PAGE = 0x10000;
/** Memory beyond this is released after use. Input and output of the largest chunk, 16 MiB, fit. */
const KEPT_SIZE = 0x2200000;
/** Fits into a 32-bit memory twice, and is below LZ4's own limit of 0x7e000000. */
const MAX_SIZE = 0x70000000;

const load = () => {
  const coder = instantiate<Coder>('lz4-block');
  return { coder, memory: coder.memory, inputAt: coder.inputAt() };
};
let loaded: ReturnType<typeof load> | undefined;

/**
 * Copies the input into the coder's memory and calls `work` with the coder, the offset of the
 * output, which has room for `outputSize` bytes, and the bytes of the memory.
 */
const withCoder = <T>(
  input: Buffer,
  outputSize: number,
  work: (coder: Coder, output: number, memory: Buffer) => T,
): T => {
  if (input.length > MAX_SIZE || outputSize > MAX_SIZE) {
    throw new RafsError(
      'LIMIT',
      `lz4_block: a block of ${Math.max(input.length, outputSize)} bytes is too large`,
    );
  }
  loaded ??= load();
  const { coder, memory, inputAt } = loaded;
  const output = inputAt + input.length + SLACK;
  const missing = output + outputSize + SLACK - memory.buffer.byteLength;
  try {
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  } catch {
    throw new RafsError('LIMIT', `lz4_block: not enough memory for ${input.length} bytes`);
  }
  const view = Buffer.from(memory.buffer);
  copyShared(view, inputAt, input);
  const result = work(coder, output, view);
  if (view.length > KEPT_SIZE) loaded = undefined;
  return result;
};

/** A copy, because the coder's memory is reused. */
const copyOf = (memory: Buffer, at: number, size: number): Buffer =>
  Buffer.from(memory.subarray(at, at + size));

/** The most bytes that a block of `size` bytes of content takes. */
const boundOf = (size: number): number => size + Math.ceil(size / 255) + 16;

/** Compresses `bytes` to a block, which may be longer than they are: one byte for no bytes. */
export const lz4Compress = (bytes: Buffer): Buffer =>
  withCoder(bytes, boundOf(bytes.length), (coder, output, memory) =>
    copyOf(memory, output, coder.compress(bytes.length, output)),
  );

/** Writes the block to `out` at `at` if it is shorter than `bytes`; returns its size, or else 0. */
export const lz4CompressInto = (bytes: Buffer, out: Buffer, at: number): number =>
  withCoder(bytes, boundOf(bytes.length), (coder, output, memory) => {
    const size = coder.compress(bytes.length, output);
    if (size >= bytes.length) return 0;
    copyShared(out, at, memory.subarray(output, output + size));
    return size;
  });

/**
 * Decompresses to exactly `size` bytes. CORRUPT for anything that is not a block of that size; the
 * rules at a block's end (last match 12 bytes before it, last 5 bytes literals) are enforced as in
 * liblz4's decoder.
 */
export const lz4Decompress = (
  bytes: Buffer,
  size: number,
  room: Allocator = sharedAllocator,
): Buffer => {
  // each byte of a length adds at most 255 bytes
  if (size > 255 * bytes.length) {
    throw new RafsError('CORRUPT', `lz4_block: ${bytes.length} bytes cannot hold ${size}`);
  }
  return withCoder(bytes, size, (coder, output, memory) => {
    if (coder.decompress(bytes.length, output, size) !== 0) {
      throw new RafsError(
        'CORRUPT',
        `lz4_block: ${bytes.length} bytes do not decompress to ${size}`,
      );
    }
    const plain = room(size);
    memory.copy(plain, 0, output, output + size);
    return plain;
  });
};
