/**
 * zran-demux: turns a gzipped tar into entries, and chunks that tell where in the gzip they lie; in
 * runs, with the hashes of their chunks.
 *
 * takes bytes; makes run and, at the end, layer
 * holds 6 slabs of 1 MiB (or of a chunk, if that is larger), 1.5 MiB of the inflater, the
 *   dictionary of a context, and what a tar header may take
 *
 * A chunk is passed on without its bytes, unless they are wanted. Chunks and gzip are hashed in
 * another thread, which takes about as long as inflating here. A layer that fits one slab is hashed
 * in this thread.
 */
import { collectNow, copyOf, NO_BYTES } from '../../lib/memory/allocate.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { hashChunks } from '../../lib/chunk/chunk-hashes.js';
import type { BytesPart, LayerPart } from '../../lib/model/parts.js';
import { HashPool } from '../threads/hash-pool.js';
import { LongHash } from '../threads/long-hash.js';
import type { Witness } from '../layer/observer.js';
import { Stage } from '../stage.js';
import { zranParser, type ZranPart } from './zran-parser.js';

/** Parts in order, and the hashes of the chunks among them, as `hashChunks` makes them. */
export interface RunPart {
  kind: 'run';
  parts: readonly ZranPart[];
  hashes: Uint8Array;
}

const SLAB_SIZE = 0x100000;
const SLABS = 4;
/** For the gzip itself: one is filled while another is hashed. */
const LAYER_SLABS = 2;
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
  /** pool of the source's buffers */
  reads?: BufferPool | undefined;
  /** is shown what the gzip inflates to */
  witness?: Witness;
}

export const zranDemux = ({ chunkSize, kept = false, reads, witness }: ZranDemuxOptions) => {
  const parser = zranParser({ chunkSize, ...(witness ? { witness } : {}) });
  const pool = new HashPool({
    threads: 1,
    slabs: SLABS + LAYER_SLABS,
    slabSize: Math.max(SLAB_SIZE, chunkSize),
  });
  const layer = new LongHash(pool);
  let sinceCollection = 0;

  // the current run; the bytes of its chunks lie in the slab, one after the other
  let parts: ZranPart[] = [];
  let sizes: number[] = [];
  let slab: Buffer | undefined;
  const pending: { run: Promise<RunPart>; ready: boolean }[] = [];

  const runOf = (hashes: Uint8Array, of: readonly ZranPart[]): RunPart => ({
    kind: 'run',
    parts: of,
    hashes,
  });

  /** Sends the chunks of the run to be hashed, and starts another run. */
  const send = (): void => {
    const hashes = slab ? pool.chunks(slab, sizes) : Promise.resolve(hashChunks(NO_BYTES, []));
    const sent = parts;
    const waiting = { run: hashes.then(made => runOf(made, sent)), ready: false };
    const settled = (): void => void (waiting.ready = true);
    waiting.run.then(settled, settled); // a failure is reported to whoever awaits it
    pending.push(waiting);
    parts = [];
    sizes = [];
    slab = undefined;
    parser.setRoom(NO_BYTES);
  };

  /** Parses until it needs input; yields the runs that it has to wait for. */
  async function* parse(): AsyncIterable<RunPart> {
    for (;;) {
      const part = parser.next();
      if (part === 'input') return;
      if (part === 'room') {
        if (slab) send();
        // each pending run has at most one slab, so then one is free
        while (pending.length >= SLABS) yield await pending.shift()!.run;
        slab = await pool.take();
        parser.setRoom(slab);
        continue;
      }
      if (part.kind === 'chunk') {
        sizes.push(part.bytes.length);
        part.bytes = kept ? copyOf(part.bytes) : NO_BYTES;
      }
      parts.push(part);
      if (parts.length === RUN_PARTS) send();
    }
  }

  return new Stage<BytesPart, RunPart | LayerPart>('zran-demux', {
    async *transformBatch(given) {
      for (const { bytes } of given) {
        await layer.add(bytes);
        reads?.releaseBefore(bytes);
        if (!reads?.has(bytes)) sinceCollection += bytes.length;
        if (sinceCollection > COLLECT_EVERY) {
          collectNow();
          sinceCollection = 0;
        }
        parser.feed(bytes);
        yield* parse();
      }
      while (pending[0]?.ready) yield await pending.shift()!.run;
    },
    async *flush() {
      const last = parser.end();
      if (last) parts.push(last);
      if (pool.started) send();
      while (pending.length > 0) yield await pending.shift()!.run;
      const digest = await layer.digest();
      await pool.close(); // what follows needs its memory
      yield runOf(hashChunks(slab ?? NO_BYTES, sizes), parts);
      yield { kind: 'layer', size: layer.size, digest };
    },
    destroy() {
      void pool.close();
    },
  });
};
