/**
 * compressor: turns chunks into their stored form, on all cores, and keeps their order.
 *
 * takes chunk (named, unless it is to be named here) and batch, makes chunk (packed) and batch,
 *   passes everything else
 * holds a few runs of parts, each with up to one slab of chunk bytes; if it names chunks, also what
 *   lib/image/chunk-deduper.ts holds, and 256 KiB for a filter, or up to 16 bytes per chunk known before
 *
 * Chunks are copied into slabs of shared memory, many small ones into one; a worker thread, or this
 * one, compresses a slab at a time. The slabs of the process are a fixed number, which bounds memory
 * and provides back-pressure.
 *
 * Chunks that come without names are also hashed by the thread that compresses them, before it is
 * known whether they are new. A filter lets threads skip most chunks that are not; a chunk skipped
 * by mistake is compressed in this thread, and what was compressed in vain is dropped. With
 * compressor none, threads only hash.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { allocate, NO_BYTES } from '../../lib/memory/allocate.js';
import { copyShared } from '../../lib/memory/byte-queue.js';
import { PooledCopies, type BufferPool, type BufferFlow } from '../../lib/memory/buffer-pool.js';
import { ChunkHashes } from '../../lib/chunk/chunk-hashes.js';
import type { ChunkDeduper } from '../../lib/image/chunk-deduper.js';
import { compress, prepareCompressors } from '../../lib/compress/compressors.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { DigestFilter } from '../../lib/chunk/digest-filter.js';
import { LEFT, type CompressedRun } from '../../lib/chunk/compress-run.js';
import type {
  ChunkBatchPart,
  ChunkPart,
  EndPart,
  EntryPart,
  ExternalPart,
} from '../../lib/model/parts.js';
import type { Chunk, NamedChunk, PackedChunk } from '../../lib/model/chunk.js';
import { SlabQueue } from '../threads/slab-queue.js';
import { SLAB_SIZE } from '../threads/slab-stock.js';
import type { Slab } from '../threads/thread-pool.js';
import { Stage, type Push } from '../stage.js';
import { defaultWorkers } from '../threads/threads.js';

type Passed = EntryPart | EndPart | ExternalPart;
type In = Passed | ChunkPart<Chunk | NamedChunk> | ChunkBatchPart;
type Out = Passed | ChunkPart<PackedChunk> | ChunkBatchPart;

const RUN_PARTS = 0x4000;

export interface CompressorOptions {
  compressor: Compressor;
  /** size of the largest chunk */
  chunkSize: number;
  /** number of threads that compress; 0: compress in this one. The output does not depend on it */
  workers?: number;
  /** for chunks that come without names; only with threads */
  names?: ChunkDeduper | undefined;
  /** is told which bytes of chunks have been copied; only with threads */
  flow?: BufferFlow | undefined;
  /** pool for stored bytes, with buffers of `slabSizeOf(chunkSize)`; only with threads */
  stored?: BufferPool | undefined;
}

/** Size of the slabs, and of buffers for stored bytes. */
export const slabSizeOf = (chunkSize: number): number => Math.max(SLAB_SIZE, chunkSize);

/** What is compressed as one unit: a batch, or a chunk that is not in one and may be new. */
type UnitPart = ChunkPart<NamedChunk> | ChunkBatchPart;

const isUnit = (part: In): part is UnitPart => {
  if (part.kind !== 'chunk') return part.kind === 'batch';
  const chunk = part.chunk as Partial<NamedChunk>;
  return chunk.known !== true && chunk.batch === undefined;
};

/** A run of parts; the bytes of its units lie in a slab, one after another. */
interface Run {
  readonly parts: In[];
  /** indexes of the units in `parts` */
  readonly units: number[];
  readonly sizes: number[];
  used: number;
  readonly slab: Slab;
  /** the slab's memory for chunks */
  readonly plain: Buffer;
}

export const compressor = async ({
  compressor: algorithm,
  chunkSize,
  workers = defaultWorkers(),
  names,
  flow,
  stored,
}: CompressorOptions) => {
  await prepareCompressors();
  if (names) await prepareDigests();
  if (workers === 0) {
    if (names) throw new Error('names are for threads');
    return new Stage<In, Out>('compressor', {
      transform(part, push) {
        push(isUnit(part) ? pack(part, compress(algorithm, part.bytes)) : asIs(part));
      },
    });
  }

  const naming = names && namingWith(names);
  const hashing = naming && { digester: naming.names.algorithm, seen: naming.seen.memory };
  const queue = new SlabQueue<Run, 'compress'>({
    task: { kind: 'compress', compressor: algorithm, ...(hashing ? { hashing } : {}) },
    workers,
    slabSize: slabSizeOf(chunkSize),
  });
  let hole = false; // a chunk that lies in one has come
  let run: Run | undefined;
  let closed = false;
  const copies = stored && new PooledCopies(stored);
  const room = copies ? (size: number): Buffer => copies.room(size) : allocate;

  const send = (full: Run): void => queue.send(full, full.slab, full.sizes);

  const settle = (done: Run, packed: CompressedRun, push: Push<Out>): void => {
    if (naming) nameChunks(done, packed, naming);
    unpack(done, packed.stored, algorithm, room, push);
  };

  const first = async (push: Push<Out>): Promise<void> => {
    const { item, slab, made } = await queue.next();
    if (closed) return;
    settle(item, made, push);
    queue.free(slab);
  };

  /** A slab to fill, once there is one; undefined if the stage was destroyed meanwhile. */
  const take = async (push: Push<Out>): Promise<Slab | undefined> => {
    for (;;) {
      if (closed) return undefined;
      const slab = queue.take();
      if (slab) return slab;
      await first(push);
    }
  };

  return new Stage<In, Out>('compressor', {
    async transformBatch(parts, push) {
      for (const part of parts) {
        const repeated = naming !== undefined && part.kind === 'chunk' && part.chunk.hole === true;
        const unit = isUnit(part) && !(repeated && hole) ? part : undefined;
        hole ||= repeated;
        const size = unit ? unit.bytes.length : 0;
        if (run && (run.used + size > queue.slabSize || run.parts.length === RUN_PARTS)) {
          send(run);
          run = undefined;
          await turn(); // without it, a series of answers would keep timers and signals waiting
          if (closed) return;
        }
        if (!run) {
          const slab = await take(push);
          if (!slab) return;
          const plain = Buffer.from(slab.plain);
          run = { parts: [], units: [], sizes: [], used: 0, slab, plain };
        }
        run.parts.push(part);
        if (!unit) {
          // the bytes of a chunk in a batch, of a known one or of a hole
          if (flow && part.kind === 'chunk' && part.bytes.length > 0) {
            flow.reached(part.bytes);
            part.bytes = NO_BYTES;
          }
          continue;
        }
        copyShared(run.plain, run.used, unit.bytes);
        run.units.push(run.parts.length - 1);
        run.sizes.push(size);
        run.used += size;
        flow?.reached(unit.bytes);
        unit.bytes = NO_BYTES;
      }
      while (queue.isReady) await first(push);
    },
    async *flush() {
      if (run) send(run);
      const made: Out[] = [];
      const push = (part: Out): void => void made.push(part);
      while (queue.length > 0) {
        await first(push);
        yield* made.splice(0);
      }
      // what follows needs their memory
      run = undefined;
      await queue.close();
      names?.clear();
      flow?.clear();
      stored?.clear();
    },
    destroy() {
      closed = true;
      void queue.close();
    },
  });
};

interface Naming {
  readonly names: ChunkDeduper;
  readonly seen: DigestFilter;
  /** the hashes of a chunk that lies in a hole, once one has been named */
  hole?: { digest: Buffer; crc32: number };
}

const namingWith = (names: ChunkDeduper): Naming => {
  const { count, digests } = names.before;
  const seen = DigestFilter.for(count);
  for (const digest of digests) seen.add(digest);
  return { names, seen };
};

/** Names the chunks of a run; all of them are units, but for those that repeat a hole's. */
const nameChunks = (run: Run, { hashes: bytes }: CompressedRun, naming: Naming): void => {
  const { names, seen } = naming;
  const hashes = new ChunkHashes(bytes!); // given, since hashing was asked for
  let unit = 0;
  run.parts.forEach((part, place) => {
    if (part.kind !== 'chunk') return;
    const chunk = part.chunk as NamedChunk; // named from here on
    if (place === run.units[unit]) {
      chunk.digest = hashes.digest(unit);
      chunk.crc32 = hashes.checksums[unit++]!;
      // a copy: the digest is a view of those of the whole run
      if (chunk.hole) naming.hole ??= { digest: Buffer.from(chunk.digest), crc32: chunk.crc32 };
    } else {
      ({ digest: chunk.digest, crc32: chunk.crc32 } = naming.hole!); // the first one was a unit
    }
    if (!names.name(chunk).known) seen.add(chunk.digest);
  });
};

/**
 * Passes on the parts of a run with their stored bytes.
 *
 * @param stored for each unit, its size as compressed; 0 or less if it was not
 * @param room makes a buffer for these bytes, because the slab will be reused
 */
const unpack = (
  run: Run,
  stored: readonly number[],
  algorithm: Compressor,
  room: (size: number) => Buffer,
  push: Push<Out>,
): void => {
  const isKnown = (part: UnitPart): boolean => part.kind === 'chunk' && part.chunk.known;
  let packed = 0; // bytes of compressed units
  let kept = 0; // bytes of those that are not, or not yet, compressed
  run.units.forEach((place, i) => {
    if (stored[i]! > 0) packed += stored[i]!;
    else if (!isKnown(run.parts[place] as UnitPart)) kept += run.sizes[i]!;
  });
  const bytes = room(packed + kept);
  copyShared(bytes, 0, Buffer.from(run.slab.packed, 0, packed));
  let next = 0;
  let packedAt = 0;
  let keptAt = packed;
  let plainAt = 0;
  run.parts.forEach((part, place) => {
    if (place !== run.units[next]) {
      push(asIs(part));
      return;
    }
    const unit = part as UnitPart;
    const plain = run.plain.subarray(plainAt, plainAt + run.sizes[next]!);
    const storedSize = stored[next++]!;
    plainAt += plain.length;
    if (isKnown(unit)) {
      push(asIs(unit));
    } else if (storedSize > 0) {
      push(pack(unit, bytes.subarray(packedAt, packedAt + storedSize)));
    } else {
      const late = storedSize === LEFT ? compress(algorithm, plain) : undefined;
      if (!late) {
        unit.bytes = bytes.subarray(keptAt, keptAt + plain.length);
        copyShared(unit.bytes, 0, plain);
        keptAt += plain.length;
      }
      push(pack(unit, late));
    }
    if (storedSize > 0) packedAt += storedSize;
  });
};

/** The part with its stored bytes: changed in place, because it is ours. */
const pack = (part: UnitPart, packed: Buffer | undefined): Out => {
  if (packed) part.bytes = packed;
  return part.kind === 'batch' ? part : packedChunk(part, packed !== undefined);
};

/** A part for which nothing is stored, or nothing of its own. */
const asIs = (part: In): Out =>
  part.kind === 'chunk' ? packedChunk(part as ChunkPart<NamedChunk>, false) : part;

const packedChunk = (part: ChunkPart<NamedChunk>, compressed: boolean): ChunkPart<PackedChunk> => {
  const packed = part as ChunkPart<PackedChunk>; // packed from here on
  packed.chunk.compressed = compressed;
  return packed;
};
