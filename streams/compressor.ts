/**
 * compressor: chunks to stored form, on all cores, in their old order.
 *
 * takes chunk (named) and batch, makes chunk (packed) and batch, passes the others
 * holds a few runs of parts: each has up to one slab of chunk bytes
 *
 * Chunks are copied into slabs of shared memory, many small ones into one; a worker thread
 * compresses a slab at a time. The slabs are a fixed number: they are the bound of memory and the
 * back-pressure. A layer that fits one slab is compressed here: starting a thread takes longer.
 */
import { availableParallelism } from 'node:os';
import { allocate } from '../lib/allocate.js';
import { PooledCopies, type BufferPool, type Flow } from '../lib/buffer-pool.js';
import { compress, compressRun, prepareCompressors, type Compressor } from '../lib/compress.js';
import type {
  BatchPart,
  ChunkPart,
  EndPart,
  EntryPart,
  ExternalPart,
  NamedChunk,
  PackedChunk,
} from '../lib/parts.js';
import { CompressorPool, type Slab } from './compressor-pool.js';
import { Stage, type Push } from './stage.js';

type Passed = EntryPart | EndPart | ExternalPart;
type In = Passed | ChunkPart<NamedChunk> | BatchPart;
type Out = Passed | ChunkPart<PackedChunk> | BatchPart;

const SLAB_SIZE = 0x100000;
const RUN_PARTS = 0x4000;

export interface CompressorOptions {
  compressor: Compressor;
  /** bytes of the largest chunk */
  chunkSize: number;
  /** threads that compress; 0 compresses in this one. The output does not depend on it. */
  workers?: number;
  /** that the bytes of chunks come with; told of those that were copied. Only where threads compress */
  flow?: Flow | undefined;
  /** of buffers of SLAB_SIZE or the chunk size, for stored bytes. Only where threads compress */
  stored?: BufferPool | undefined;
}

/** Whether threads compress, and bytes do not go on as they came. */
export const usesThreads = ({
  compressor,
  workers,
}: {
  compressor: Compressor;
  workers: number | undefined;
}): boolean => compressor !== 'none' && workers !== 0;

/** Bytes of the slabs, and of what a buffer for stored bytes must hold. */
export const slabSizeOf = (chunkSize: number): number => Math.max(SLAB_SIZE, chunkSize);

/** What is compressed as one: a batch, or a new chunk that is not in one. */
type UnitPart = ChunkPart<NamedChunk> | BatchPart;

const isUnit = (part: In): part is UnitPart =>
  part.kind === 'batch' || (part.kind === 'chunk' && !part.chunk.known && !part.chunk.batch);

/** A run of parts; the bytes of its units lie in a slab, one after another. */
interface Run {
  parts: In[];
  sizes: number[];
  used: number;
  slab: Slab;
}

export const compressor = async ({
  compressor: algorithm,
  chunkSize,
  workers = Math.min(availableParallelism(), 16),
  flow,
  stored,
}: CompressorOptions) => {
  await prepareCompressors();
  if (!usesThreads({ compressor: algorithm, workers })) {
    return new Stage<In, Out>('compressor', {
      each(part, push) {
        push(isUnit(part) ? pack(part, compress(algorithm, part.bytes)) : asIs(part));
      },
    });
  }

  const pool = new CompressorPool({
    compressor: algorithm,
    workers,
    slabs: workers + 2,
    slabSize: slabSizeOf(chunkSize),
  });
  const pending: { run: Run; stored: Promise<readonly number[]>; ready: boolean }[] = [];
  let run: Run | undefined;
  const copies = stored && new PooledCopies(stored);
  const room = copies ? (size: number): Buffer => copies.room(size) : allocate;

  const send = (full: Run): void => {
    const waiting = { run: full, stored: pool.compress(full.slab, full.sizes), ready: false };
    const settled = (): void => void (waiting.ready = true);
    waiting.stored.then(settled, settled); // whoever awaits it learns why it failed
    pending.push(waiting);
  };

  const first = async (push: Push<Out>): Promise<void> => {
    const waiting = pending.shift()!;
    unpack(waiting.run, await waiting.stored, room, push);
    pool.free(waiting.run.slab);
  };

  return new Stage<In, Out>('compressor', {
    async all(parts, push) {
      for (const part of parts) {
        const unit = isUnit(part) ? part : undefined;
        const size = unit ? unit.bytes.length : 0;
        if (run && (run.used + size > pool.slabSize || run.parts.length === RUN_PARTS)) {
          send(run);
          run = undefined;
        }
        if (!run) {
          while (pool.freeSlabs === 0) await first(push);
          run = { parts: [], sizes: [], used: 0, slab: pool.take() };
        }
        run.parts.push(part);
        if (!unit) continue;
        unit.bytes.copy(Buffer.from(run.slab.plain), run.used);
        run.sizes.push(size);
        run.used += size;
        flow?.reached(unit.bytes);
        unit.bytes = NO_BYTES;
      }
      while (pending[0]?.ready) await first(push);
    },
    async *end() {
      if (run && pool.started) {
        send(run);
        run = undefined;
      }
      const made: Out[] = [];
      const push = (part: Out): void => void made.push(part);
      while (pending.length > 0) {
        await first(push);
        yield* made.splice(0);
      }
      if (run) unpack(run, compressRun(algorithm, run.slab, run.sizes), room, push);
      yield* made;
      // what is to come takes memory of its own
      run = undefined;
      pool.close();
      flow?.clear();
      stored?.clear();
    },
    close() {
      pool.close();
    },
  });
};

const NO_BYTES = Buffer.alloc(0);

/**
 * The parts of a run with their stored bytes.
 *
 * @param stored size of each unit as it is stored, 0 where it stays as it was
 * @param room makes a buffer for them: the slab will be used again
 */
const unpack = (
  run: Run,
  stored: readonly number[],
  room: (size: number) => Buffer,
  push: Push<Out>,
): void => {
  let packed = 0;
  let kept = 0; // bytes of what is not compressed
  for (let i = 0; i < stored.length; i++) {
    packed += stored[i]!;
    if (stored[i] === 0) kept += run.sizes[i]!;
  }
  const bytes = room(packed + kept);
  bytes.set(new Uint8Array(run.slab.packed, 0, packed));
  const plain = Buffer.from(run.slab.plain);
  let next = 0;
  let packedAt = 0;
  let keptAt = packed;
  let plainAt = 0;
  for (const part of run.parts) {
    if (!isUnit(part)) {
      push(asIs(part));
      continue;
    }
    const size = run.sizes[next]!;
    const storedSize = stored[next++]!;
    if (storedSize > 0) {
      push(pack(part, bytes.subarray(packedAt, packedAt + storedSize)));
      packedAt += storedSize;
    } else {
      plain.copy(bytes, keptAt, plainAt, plainAt + size);
      part.bytes = bytes.subarray(keptAt, keptAt + size);
      push(pack(part, undefined));
      keptAt += size;
    }
    plainAt += size;
  }
};

/** The part with its stored bytes, which is the same part: it is ours. */
const pack = (part: UnitPart, packed: Buffer | undefined): Out => {
  if (packed) part.bytes = packed;
  return part.kind === 'batch' ? part : packedChunk(part, packed !== undefined);
};

/** A part that has nothing to compress. */
const asIs = (part: In): Out => (part.kind === 'chunk' ? packedChunk(part, false) : part);

const packedChunk = (part: ChunkPart<NamedChunk>, compressed: boolean): ChunkPart<PackedChunk> => {
  const packed = part as ChunkPart<PackedChunk>; // from here on
  packed.chunk.compressed = compressed;
  return packed;
};
