/**
 * LZ4 blocks: the raw block format, without frame or size.
 *
 * Compressed bytes are those of LZ4 1.10's LZ4_compress_default on a 64-bit machine, see
 * assembly/lz4-block.ts.
 */
import { copyShared } from './bytes.js';
import { RafsError } from './errors.js';
import { instantiate } from './wasm.js';

interface Coder {
  inputAt(): number;
  compress(size: number, output: number): number;
  decompress(size: number, output: number, outputSize: number): number;
}

/** Both coders read and write whole words: room for that behind input and output. */
const SLACK = 64;
const PAGE = 0x10000;
/** Memory over this is given back after use: 16 MiB, the largest chunk, in and out fit. */
const KEPT_SIZE = 0x2200000;
/** What fits a 32-bit memory twice, and LZ4's own limit of 0x7e000000 surely. */
const MAX_SIZE = 0x70000000;

const load = () => {
  const coder = instantiate<Coder>('lz4-block');
  return { coder, memory: coder.memory, inputAt: coder.inputAt() };
};
let loaded: ReturnType<typeof load> | undefined;

/**
 * Calls `work` with the coder, the input copied into its memory, the place of the output, where
 * `outputSize` bytes have room, and the bytes of the memory.
 */
const withCoder = <T>(
  input: Buffer,
  outputSize: number,
  work: (coder: Coder, output: number, memory: Buffer) => T,
): T => {
  if (input.length > MAX_SIZE || outputSize > MAX_SIZE) {
    throw new RafsError('LIMIT', `lz4_block: ${Math.max(input.length, outputSize)} bytes at once`);
  }
  loaded ??= load();
  const { coder, memory, inputAt } = loaded;
  const output = inputAt + input.length + SLACK;
  const missing = output + outputSize + SLACK - memory.buffer.byteLength;
  try {
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  } catch {
    throw new RafsError('LIMIT', `lz4_block: no memory for ${input.length} bytes`);
  }
  const view = Buffer.from(memory.buffer);
  copyShared(view, inputAt, input);
  const result = work(coder, output, view);
  if (view.length > KEPT_SIZE) loaded = undefined;
  return result;
};

/** A copy, since the coder's memory is used again. */
const copyOf = (memory: Buffer, at: number, size: number): Buffer =>
  Buffer.from(memory.subarray(at, at + size));

/** What a block of so many bytes takes at most. */
const boundOf = (size: number): number => size + Math.ceil(size / 255) + 16;

/** The block of `bytes`, which may be longer than they are; of nothing, one byte. */
export const lz4Compress = (bytes: Buffer): Buffer =>
  withCoder(bytes, boundOf(bytes.length), (coder, output, memory) =>
    copyOf(memory, output, coder.compress(bytes.length, output)),
  );

/** The same into `out` at `at` where it is shorter than `bytes`: its size, or 0 where it is not. */
export const lz4CompressInto = (bytes: Buffer, out: Buffer, at: number): number =>
  withCoder(bytes, boundOf(bytes.length), (coder, output, memory) => {
    const size = coder.compress(bytes.length, output);
    if (size >= bytes.length) return 0;
    copyShared(out, at, memory.subarray(output, output + size));
    return size;
  });

/**
 * Exactly `size` bytes. CORRUPT for all that is not a block of that size; the rules at a block's
 * end (last match 12 bytes before it, last 5 bytes literals) are kept as liblz4's decoder does.
 */
export const lz4Decompress = (bytes: Buffer, size: number): Buffer => {
  // a byte of a length stands for 255 bytes at most
  if (size > 255 * bytes.length) {
    throw new RafsError('CORRUPT', `lz4_block: ${bytes.length} bytes cannot hold ${size}`);
  }
  return withCoder(bytes, size, (coder, output, memory) => {
    if (coder.decompress(bytes.length, output, size) !== 0) {
      throw new RafsError('CORRUPT', `lz4_block: ${bytes.length} bytes are no block of ${size}`);
    }
    return copyOf(memory, output, size);
  });
};
