/**
 * zran-demux: a gzipped tar to entries, and to chunks that tell where in the gzip they lie.
 *
 * takes bytes; makes entry, chunk (hashed), end, context and, at the end, layer
 * holds 4 slabs of 1 MiB (or of a chunk, if that is more), 1.5 MiB of the inflater, the dictionary
 *   of a context, and what a tar header may take
 *
 * A chunk goes on without its bytes, unless they are asked for: it is hashed in another thread,
 * which takes about as long as to inflate it here. A layer that fits one slab is hashed here.
 */
import { createHash } from 'node:crypto';
import { copyOf } from '../lib/allocate.js';
import { checksumsIn, hashChunks } from '../lib/digest.js';
import type { BytesPart, ChunkPart, HashedChunk, LayerPart } from '../lib/parts.js';
import { HashPool } from './hash-pool.js';
import { Stage } from './stage.js';
import { zranParser, type ZranPart } from './zran-parser.js';

type Out = Exclude<ZranPart, { kind: 'chunk' }> | ChunkPart<HashedChunk> | LayerPart;

const SLAB_SIZE = 0x100000;
const SLABS = 4;
const RUN_PARTS = 0x4000;
const NO_BYTES = Buffer.alloc(0);

export interface ZranDemuxOptions {
  /** bytes of every chunk but a file's last */
  chunkSize: number;
  /** chunks keep their bytes */
  kept?: boolean;
}

/** Parts in their order; the bytes of its chunks lie in a slab, one behind the other. */
interface Run {
  parts: ZranPart[];
  sizes: number[];
  slab: Buffer | undefined;
}

export const zranDemux = ({ chunkSize, kept = false }: ZranDemuxOptions) => {
  const parser = zranParser({ chunkSize });
  const pool = new HashPool({
    threads: 1,
    slabs: SLABS,
    slabSize: Math.max(SLAB_SIZE, chunkSize),
  });
  const pending: { run: Run; hashes: Promise<Uint8Array>; ready: boolean }[] = [];
  const layer = createHash('sha256');
  let size = 0;
  let run: Run = { parts: [], sizes: [], slab: undefined };

  /** Has the chunks of the run hashed, and starts another. */
  const send = (): void => {
    const { slab, sizes } = run;
    const hashes = slab ? pool.chunks(slab, sizes) : Promise.resolve(hashChunks(NO_BYTES, []));
    const waiting = { run, hashes, ready: false };
    const settled = (): void => void (waiting.ready = true);
    hashes.then(settled, settled); // whoever awaits it learns why it failed
    pending.push(waiting);
    run = { parts: [], sizes: [], slab: undefined };
  };

  async function* first(): AsyncIterable<Out> {
    const { run, hashes } = pending.shift()!;
    yield* named(run, await hashes);
  }

  /** All that there is in the input so far. */
  async function* parse(): AsyncIterable<Out> {
    for (;;) {
      const part = parser.next();
      if (part === 'input') return;
      if (part === 'room') {
        if (run.slab) send();
        // every other slab is on its way: this one comes free when its hashes do
        while (pending.length >= SLABS) yield* first();
        run.slab = await pool.take();
        parser.setRoom(run.slab);
        continue;
      }
      if (part.kind === 'chunk') {
        run.sizes.push(part.bytes.length);
        part.bytes = kept ? copyOf(part.bytes) : NO_BYTES;
      }
      run.parts.push(part);
      if (run.parts.length < RUN_PARTS) continue;
      send();
      parser.setRoom(NO_BYTES);
    }
  }

  return new Stage<BytesPart, Out>('zran-demux', {
    async *batch(parts) {
      for (const { bytes } of parts) {
        layer.update(bytes);
        size += bytes.length;
        parser.feed(bytes);
        yield* parse();
      }
      while (pending[0]?.ready) yield* first();
    },
    async *end() {
      const last = parser.end();
      if (last) run.parts.push(last);
      if (pool.started) send();
      while (pending.length > 0) yield* first();
      pool.close(); // what comes now needs its memory
      yield* named(run, hashChunks(run.slab ?? NO_BYTES, run.sizes));
      yield { kind: 'layer', size, digest: layer.digest('hex') };
    },
    close() {
      pool.close();
    },
  });
};

/** The parts of a run, its chunks with their hashes. */
function* named({ parts, sizes }: Run, hashes: Uint8Array): Iterable<Out> {
  const checksums = checksumsIn(hashes);
  const digests = Buffer.from(hashes.buffer, hashes.byteOffset, sizes.length * DIGEST_SIZE);
  let at = 0;
  for (const part of parts) {
    if (part.kind !== 'chunk') {
      yield part;
      continue;
    }
    const digest = digests.subarray(at * DIGEST_SIZE, (at + 1) * DIGEST_SIZE);
    yield { ...part, chunk: { ...part.chunk, digest, crc32: checksums[at]! } };
    at++;
  }
}

const DIGEST_SIZE = 32;
