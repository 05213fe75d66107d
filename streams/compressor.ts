/**
 * compressor: chunks to stored form, on all cores, in their old order.
 *
 * takes chunk (named) and batch, makes chunk (packed) and batch, passes entry and end
 * holds a few runs of parts: each has up to one slab of chunk bytes
 *
 * Chunks are copied into slabs of shared memory, many small ones into one; a worker thread
 * compresses a slab at a time. The slabs are a fixed number: they are the bound of memory and the
 * back-pressure. A layer that fits one slab is compressed here: starting a thread takes longer.
 */
import { availableParallelism } from 'node:os';
import { copyOf } from '../lib/allocate.js';
import { compress, compressInto, prepareCompressors, type Compressor } from '../lib/compress.js';
import type {
  BatchPart,
  ChunkPart,
  EndPart,
  EntryPart,
  NamedChunk,
  PackedChunk,
} from '../lib/parts.js';
import { CompressorPool, type Slab } from './compressor-pool.js';
import { Stage } from './stage.js';

type In = EntryPart | ChunkPart<NamedChunk> | BatchPart | EndPart;
type Out = EntryPart | ChunkPart<PackedChunk> | BatchPart | EndPart;

const SLAB_SIZE = 0x100000;
const RUN_PARTS = 0x4000;

export interface CompressorOptions {
  compressor: Compressor;
  /** bytes of the largest chunk */
  chunkSize: number;
  /** threads that compress; 0 compresses in this one. The output does not depend on it. */
  workers?: number;
}

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
}: CompressorOptions) => {
  await prepareCompressors();
  if (algorithm === 'none' || workers === 0) {
    return new Stage<In, Out>('compressor', {
      *part(part) {
        yield isUnit(part) ? pack(part, compress(algorithm, part.bytes)) : asIs(part);
      },
    });
  }

  const pool = new CompressorPool({
    compressor: algorithm,
    workers,
    slabs: 2 * workers + 1,
    slabSize: Math.max(SLAB_SIZE, chunkSize),
  });
  const pending: { run: Run; stored: Promise<readonly number[]>; ready: boolean }[] = [];
  let run: Run | undefined;

  const send = (full: Run): void => {
    const waiting = { run: full, stored: pool.compress(full.slab, full.sizes), ready: false };
    const settled = (): void => void (waiting.ready = true);
    waiting.stored.then(settled, settled); // whoever awaits it learns why it failed
    pending.push(waiting);
  };

  async function* first(): AsyncIterable<Out> {
    const waiting = pending.shift()!;
    yield* unpack(waiting.run, await waiting.stored);
    pool.free(waiting.run.slab);
  }

  return new Stage<In, Out>('compressor', {
    async *batch(parts) {
      for (const part of parts) {
        const unit = isUnit(part) ? part : undefined;
        const size = unit ? unit.bytes.length : 0;
        if (run && (run.used + size > pool.slabSize || run.parts.length === RUN_PARTS)) {
          send(run);
          run = undefined;
        }
        if (!run) {
          while (pool.freeSlabs === 0) yield* first();
          run = { parts: [], sizes: [], used: 0, slab: pool.take() };
        }
        run.parts.push(part);
        if (!unit) continue;
        unit.bytes.copy(Buffer.from(run.slab.plain), run.used);
        run.sizes.push(size);
        run.used += size;
        unit.bytes = NO_BYTES;
      }
      while (pending[0]?.ready) yield* first();
    },
    async *end() {
      if (run && pool.started) {
        send(run);
        run = undefined;
      }
      while (pending.length > 0) yield* first();
      if (run) yield* unpack(run, compressHere(algorithm, run));
    },
    close() {
      pool.close();
    },
  });
};

const NO_BYTES = Buffer.alloc(0);

const compressHere = (algorithm: Compressor, { slab, sizes }: Run): number[] => {
  const plain = Buffer.from(slab.plain);
  const packed = Buffer.from(slab.packed);
  let from = 0;
  let to = 0;
  return sizes.map(size => {
    const stored = compressInto(algorithm, plain.subarray(from, from + size), packed, to);
    from += size;
    to += stored;
    return stored;
  });
};

/**
 * The parts of a run with their stored bytes.
 *
 * @param stored size of each unit as it is stored, 0 where it stays as it was
 */
function* unpack(run: Run, stored: readonly number[]): Iterable<Out> {
  // the slab will be used again: one copy of what is stored compressed serves the whole run
  const total = stored.reduce((sum, size) => sum + size, 0);
  const bytes = copyOf(Buffer.from(run.slab.packed, 0, total));
  const plain = Buffer.from(run.slab.plain);
  let next = 0;
  let packedAt = 0;
  let plainAt = 0;
  for (const part of run.parts) {
    if (!isUnit(part)) {
      yield asIs(part);
    } else {
      const size = run.sizes[next]!;
      const storedSize = stored[next++]!;
      if (storedSize > 0) {
        yield pack(part, bytes.subarray(packedAt, packedAt + storedSize));
        packedAt += storedSize;
      } else {
        const own = copyOf(plain.subarray(plainAt, plainAt + size));
        yield pack({ ...part, bytes: own }, undefined);
      }
      plainAt += size;
    }
  }
}

/** The part with its stored bytes. */
const pack = (part: UnitPart, packed: Buffer | undefined): Out =>
  part.kind === 'batch'
    ? { ...part, bytes: packed ?? part.bytes }
    : {
        kind: 'chunk',
        chunk: { ...part.chunk, compressed: packed !== undefined },
        bytes: packed ?? part.bytes,
      };

/** A part that has nothing to compress. */
const asIs = (part: In): Out =>
  part.kind === 'chunk' ? { ...part, chunk: { ...part.chunk, compressed: false } } : part;
