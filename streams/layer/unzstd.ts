/** Decompression of zstd sources. */
import { Duplex, Readable, pipeline, type Transform } from 'node:stream';
import zlib from 'node:zlib';
import { allocate } from '../../lib/memory/allocate.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { RafsError } from '../../lib/errors.js';
import type { BytesPart } from '../../lib/model/parts.js';
import { ZstdFrames, type FramePiece } from '../../lib/compress/zstd-frames.js';
import { zstdBinding, type ZstdBinding } from '../../lib/compress/zstd-engine.js';
import { Stage } from '../stage.js';
import type { Batch } from '../batch.js';

const PIECE_SIZE = 0x80000;
/** Frames may ask for a window of at most 512 MiB, as containerd accepts (`zstd --long=29`). */
const WINDOW_LOG_MAX = 29;
/** Number of the parameter of Node's decoder; the types of Node 20 do not declare it. */
const WINDOW_LOG_PARAMETER = 100;

/** An error from libzstd, however it is called. It does not say where; `offset` is only close. */
const failure = (error: unknown, offset: number): RafsError => {
  const message = (error as Error).message;
  const code = /too much memory|dictionary/i.test(message) ? 'UNSUPPORTED' : 'CORRUPT';
  return new RafsError(code, `zstd: ${message}`, { offset });
};

export interface UnzstdOptions {
  /** pool of the source's buffers */
  reads?: BufferPool | undefined;
  /** pool for the output; without it, pieces have buffers of 512 KiB of their own */
  pieces?: BufferPool | undefined;
}

/**
 * unzstd: the plain bytes of a zstd source of any number of frames; skippable ones are left out.
 *
 * takes bytes, makes bytes of 512 KiB, fewer at the end, with their offset in the plain stream
 * holds one piece of output and the window that the frame asks for, at most 512 MiB
 *
 * fails with CORRUPT for damaged and truncated frames; UNSUPPORTED for larger windows, for frames
 * that need a dictionary, and if neither zstd-napi nor Node can decode zstd.
 */
export const unzstd = ({ reads, pieces }: UnzstdOptions = {}): Duplex => {
  const binding = zstdBinding();
  if (binding) return nativeUnzstd(binding, reads, pieces);
  const create = nodeDecoder();
  if (create) return nodeUnzstd(create);
  throw new RafsError(
    'UNSUPPORTED',
    'zstd sources need the package zstd-napi, or Node 22.15 or newer',
    { stage: 'unzstd' },
  );
};

/** Decodes with libzstd itself, on this thread. */
const nativeUnzstd = (
  binding: ZstdBinding,
  reads?: BufferPool,
  pieces?: BufferPool,
): Stage<BytesPart, BytesPart> => {
  const newPiece = (): Buffer => pieces?.take() ?? allocate(PIECE_SIZE);
  const decoder = new binding.DCtx();
  decoder.setParameter(binding.DParameter.windowLogMax, WINDOW_LOG_MAX);
  let piece = newPiece();
  let filled = 0;
  let offset = 0; // in the plain stream
  let used = 0; // bytes of the source
  let complete = false; // whether the last frame is; false before the first

  const emit = (bytes: Buffer): BytesPart => {
    const part: BytesPart = { kind: 'bytes', offset, bytes };
    offset += bytes.length;
    filled = 0;
    return part;
  };

  return new Stage<BytesPart, BytesPart>('unzstd', {
    *transform({ bytes }) {
      reads?.releaseBefore(bytes);
      let at = 0;
      let full = false; // if so, the decoder may hold more
      while (at < bytes.length || (full && !complete)) {
        let step: [returnValue: number, made: number, used: number];
        try {
          step = decoder.decompressStream(piece.subarray(filled), bytes.subarray(at));
        } catch (error) {
          throw failure(error, used);
        }
        const [left, made, read] = step;
        at += read;
        used += read;
        filled += made;
        if (made > 0 || read > 0) complete = left === 0;
        full = filled === piece.length;
        if (!full) continue;
        yield emit(piece);
        piece = newPiece();
      }
    },
    *flush() {
      if (!complete)
        throw new RafsError('CORRUPT', 'zstd: unexpected end in a frame', { offset: used });
      if (filled > 0) yield emit(Buffer.from(piece.subarray(0, filled)));
    },
  });
};

type CreateDecoder = (options: zlib.BrotliOptions) => Transform;

/** Node's own decoder, if it has one; the types of Node 20 do not declare it. */
export const nodeDecoder = (): CreateDecoder | undefined =>
  (zlib as { createZstdDecompress?: CreateDecoder }).createZstdDecompress;

/**
 * Decodes with Node's decoder. That ends silently after the first frame, after a skippable one, and
 * where a frame is truncated; so each frame gets a decoder of its own, and ZstdFrames tells where
 * it ends.
 */
export const nodeUnzstd = (create: CreateDecoder): Duplex => {
  async function* decode(batches: AsyncIterable<Batch<BytesPart>>): AsyncIterable<BytesPart[]> {
    const pieces = framePieces(batches);
    let offset = 0;
    for (;;) {
      const first = await pieces.next();
      if (first.done) return;
      const decoder = create({
        chunkSize: PIECE_SIZE,
        params: { [WINDOW_LOG_PARAMETER]: WINDOW_LOG_MAX },
      });
      // failures surface when the decoder is read
      pipeline(Readable.from(frame(first.value, pieces)), decoder, () => undefined);
      try {
        for await (const made of decoder) {
          const bytes = made as Buffer; // a byte stream without an encoding gives buffers
          yield [{ kind: 'bytes', offset, bytes }];
          offset += bytes.length;
        }
      } catch (error) {
        throw error instanceof RafsError ? error : failure(error, 0);
      }
    }
  }
  return Duplex.from(decode);
};

async function* framePieces(batches: AsyncIterable<Batch<BytesPart>>): AsyncGenerator<FramePiece> {
  const frames = new ZstdFrames();
  for await (const batch of batches) {
    for (const { bytes } of batch) yield* frames.push(bytes);
  }
  frames.end();
}

/** The bytes of one frame; what follows stays in `pieces`. */
async function* frame(
  first: FramePiece,
  pieces: AsyncGenerator<FramePiece>,
): AsyncIterable<Buffer> {
  for (let piece = first; ;) {
    yield piece.bytes;
    if (piece.last) return;
    const next = await pieces.next();
    if (next.done) return;
    piece = next.value;
  }
}
