/**
 * zran-demux: a gzipped tar to entries, and the content of its files to chunks that tell where in
 * the gzip they lie.
 *
 * takes bytes; makes entry, chunk, end, context and, at the end, layer
 * holds a chunk, a context's dictionary, 1.5 MiB of the inflater, and what a tar header may take
 *
 * The inflater stops where a chunk begins and where it ends: only there it can say which bytes of
 * the gzip the chunk is made of. So tar, inflater and chunks cannot be stages of their own.
 */
import { createHash } from 'node:crypto';
import { allocate } from '../lib/allocate.js';
import { RafsError } from '../lib/errors.js';
import { GzipSteps } from '../lib/gzip-steps.js';
import type {
  BytesPart,
  ChunkPart,
  ContextPart,
  EndPart,
  Entry,
  EntryPart,
  LayerPart,
} from '../lib/parts.js';
import { ZranCutter } from '../lib/zran.js';
import { Stage } from './stage.js';
import { tarParser } from './tar-demux.js';

type Made = EntryPart | ChunkPart | EndPart | ContextPart;

/** Small chunks share a buffer of this size. */
const SHARED_SIZE = 0x40000;

/**
 * UNSUPPORTED for a sparse file: its content does not lie in the tar in one run.
 *
 * @param options.chunkSize bytes of every chunk but a file's last
 */
export const zranDemux = ({ chunkSize }: { chunkSize: number }) => {
  const steps = new GzipSteps({ boundaries: true });
  const parser = tarParser({ contents: false });
  const cutter = new ZranCutter(chunkSize);
  const hash = createHash('sha256');
  let size = 0;
  let outOffset = 0;
  let shared: Buffer = NO_BYTES; // room for the next chunks

  /** Makes the next `count` bytes; gives undefined where it needs more input to go on. */
  function* inflate(count: number, use: (piece: Buffer) => void): Iterable<undefined> {
    let left = count;
    while (left > 0) {
      const piece = steps.next(left);
      if (piece) {
        left -= piece.length;
        use(piece);
        outOffset += piece.length;
      } else yield undefined;
    }
  }

  const room = (count: number): Buffer => {
    if (count > shared.length) {
      if (count > SHARED_SIZE / 4) return allocate(count);
      shared = allocate(SHARED_SIZE);
    }
    const bytes = shared.subarray(0, count);
    shared = shared.subarray(count);
    return bytes;
  };

  function* chunksOf({ path, size, dataOffset }: Entry): Iterable<Made | undefined> {
    if (size > 0 && dataOffset === undefined) {
      throw new RafsError('UNSUPPORTED', 'a sparse file cannot be read out of its gzip', { path });
    }
    for (let fileOffset = 0; fileOffset < size; fileOffset += chunkSize) {
      const uncompressedSize = Math.min(chunkSize, size - fileOffset);
      // a header came before, and a boundary before that
      const complete = cutter.begin(steps.position, steps.boundary!);
      if (complete) yield complete;
      const bytes = room(uncompressedSize);
      let at = 0;
      yield* inflate(uncompressedSize, piece => {
        piece.copy(bytes, at);
        at += piece.length;
      });
      const zran = cutter.end(steps.position);
      yield { kind: 'chunk', chunk: { fileOffset, uncompressedSize, zran }, bytes };
    }
  }

  function* demux(): Generator<Made | undefined, never> {
    let contentSize = 0; // bytes that the parser passes over and were inflated already
    const made: ReturnType<typeof madeOf> = [];
    const madeOf = (bytes: Buffer) => [...parser.part({ kind: 'bytes', offset: outOffset, bytes })];
    for (;;) {
      yield* inflate(parser.skippable - contentSize, () => undefined);
      contentSize = 0;
      yield* inflate(parser.wanted, piece => void made.push(...madeOf(piece)));
      for (const part of made.splice(0)) {
        if (part.kind === 'data') throw new Error('content was to be passed over');
        yield part;
        if (part.kind !== 'entry' || part.entry.type !== 'file') continue;
        yield* chunksOf(part.entry);
        contentSize = part.entry.size;
      }
    }
  }
  const parts = demux();

  /** What there is in the input so far. */
  function* ready(): Iterable<Made> {
    for (;;) {
      const { value } = parts.next();
      if (value === undefined) return;
      yield value;
    }
  }

  return new Stage<BytesPart, Made | LayerPart>('zran-demux', {
    part({ bytes }) {
      hash.update(bytes);
      size += bytes.length;
      steps.feed(bytes);
      return ready();
    },
    *end() {
      steps.end();
      parser.end();
      const last = cutter.last();
      if (last) yield last;
      yield { kind: 'layer', size, digest: hash.digest('hex') };
    },
  });
};

const NO_BYTES = Buffer.alloc(0);
