/**
 * zran-demux: turns a gzipped tar into entries, and chunks that tell where in the gzip they lie; in
 * runs, with the hashes of their chunks.
 *
 * takes bytes; makes run and, at the end, layer
 * holds 8 slabs of 1 MiB (or of a chunk, if that is larger), 1.5 MiB of the inflater, the
 *   dictionary of a context, and what a tar header may take
 *
 * A chunk is passed on without its bytes, unless they are wanted. Chunks and gzip are hashed in
 * another thread, which takes about as long as inflating here; those of a small layer here, too.
 */
import { collectNow, copyOf, NO_BYTES } from '../../lib/memory/allocate.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import type { BytesPart, LayerPart } from '../../lib/model/parts.js';
import { LongHash } from '../threads/long-hash.js';
import { SlabQueue } from '../threads/slab-queue.js';
import { SLAB_SIZE } from '../threads/slab-stock.js';
import type { Slab } from '../threads/thread-pool.js';
import { defaultWorkers } from '../threads/threads.js';
import type { Witness } from '../layer/observer.js';
import { Stage } from '../stage.js';
import { zranParser, type ZranPart } from './zran-parser.js';

/** Parts in order, and the hashes of the chunks among them, as `hashChunks` makes them. */
export interface RunPart {
  kind: 'run';
  parts: readonly ZranPart[];
  hashes: Uint8Array;
}

const SLABS = 4;
/** For the gzip itself. */
const LAYER_SLABS = 4;
const RUN_PARTS = 0x1000;
/**
 * Bytes of a gzip outside any pool between garbage collections: once used up they are garbage, and
 * so is their inflated content, which is several times as large.
 */
const COLLECT_EVERY = 0x800000;

export interface ZranDemuxOptions {
  /** size of every chunk except a file's last */
  chunkSize: number;
  /** chunks keep their bytes */
  kept?: boolean;
  /** sha256 of the gzip in hex, if it is known; then it is not computed */
  digest?: string | undefined;
  /** number of threads that hash */
  workers?: number | undefined;
  /** pool of the source's buffers */
  reads?: BufferPool | undefined;
  /** is shown what the gzip inflates to */
  witness?: Witness;
  /** is told, in one sentence for each, what is left out or changed */
  warn?: (message: string) => void;
}

export const zranDemux = ({
  chunkSize,
  kept = false,
  digest,
  workers = defaultWorkers(),
  reads,
  witness, warn
}: ZranDemuxOptions) => {
  const parser = zranParser({
    chunkSize,
    ...(witness ? { witness } : {}),
    ...(warn ? { warn } : {}),
  });
  const queue = new SlabQueue<readonly ZranPart[], 'hash-chunks'>({
    task: { kind: 'hash-chunks' },
    workers,
    slabSize: Math.max(SLAB_SIZE, chunkSize),
    most: SLABS,
  });
  const layer = digest === undefined ? new LongHash({ slabs: LAYER_SLABS }) : undefined;
  let size = 0;
  let sinceCollection = 0;

  // the current run; the bytes of its chunks lie in the slab, one after the other
  let parts: ZranPart[] = [];
  let sizes: number[] = [];
  let slab: Slab | undefined;

  const first = async (): Promise<RunPart> => {
    const { item, slab: done, made } = await queue.next();
    queue.free(done);
    return { kind: 'run', parts: item, hashes: made };
  };

  /** Gives the next run a slab; yields the runs that it has to wait for. */
  async function* open(): AsyncGenerator<RunPart> {
    while (!slab) {
      slab = queue.take();
      if (!slab) yield await first();
    }
    parser.setRoom(Buffer.from(slab.plain));
  }

  /** Sends the chunks of the run to be hashed, and starts another run. */
  const send = (filled: Slab): void => {
    queue.send(parts, filled, sizes);
    parts = [];
    sizes = [];
    slab = undefined;
    parser.setRoom(NO_BYTES);
  };

  /** Parses until it needs input. */
  async function* parse(): AsyncGenerator<RunPart> {
    for (;;) {
      const part = parser.next();
      if (part === 'input') return;
      if (part === 'room') {
        if (slab) send(slab);
        yield* open();
        continue;
      }
      if (part.kind === 'chunk') {
        sizes.push(part.bytes.length);
        part.bytes = kept ? copyOf(part.bytes) : NO_BYTES;
      }
      parts.push(part);
      if (parts.length < RUN_PARTS) continue;
      if (!slab) yield* open();
      if (slab) send(slab);
    }
  }

  return new Stage<BytesPart, RunPart | LayerPart>('zran-demux', {
    async *transformBatch(given) {
      for (const { bytes } of given) {
        size += bytes.length;
        await layer?.add(bytes);
        reads?.releaseBefore(bytes);
        if (!reads?.has(bytes)) sinceCollection += bytes.length;
        if (sinceCollection > COLLECT_EVERY) {
          collectNow();
          sinceCollection = 0;
        }
        parser.feed(bytes);
        yield* parse();
      }
      while (queue.isReady) yield await first();
    },
    async *flush() {
      const last = parser.end();
      if (last) parts.push(last);
      if (!slab) yield* open();
      if (slab) send(slab);
      while (queue.length > 0) yield await first();
      const found = layer ? await layer.digest() : digest;
      // what follows needs their memory
      await Promise.all([queue.close(), layer?.close()]);
      yield { kind: 'layer', size, digest: found };
    },
    destroy() {
      void queue.close();
      void layer?.close();
    },
  });
};
