/** Chunks of gzip layers, inflated from places where the image says that inflating can start. */
import { allocate } from '../../lib/memory/allocate.js';
import { byteCache } from '../../lib/memory/byte-cache.js';
import type { ChunkInfo, ChunkInfoTable, ZranStart } from '../../lib/blob/chunk-info-table.js';
import { GzipHeader } from '../../lib/compress/gzip-header.js';
import { located, RafsError } from '../../lib/errors.js';
import { GzipInflater } from '../../lib/compress/gzip-inflater.js';
import { Inflater } from '../../lib/compress/inflate.js';
import type { ReaderAt } from '../io/reader-at.js';

const PIECE_SIZE = 0x40000; // what the inflater takes at once
const TRAILER_SIZE = 8;
/** Most bytes of contexts' output to keep; a larger context is inflated anew for every chunk. */
const KEPT = 0x1000000;

/**
 * Reads chunks of one layer in any order. The order of files in a layer differs from that in the
 * image, and a context usually has many of them, so its output is kept, up to 16 MiB in all.
 */
export class ZranReader {
  readonly #source: ReaderAt;
  readonly #table: ChunkInfoTable;
  readonly #inflater = new Inflater();
  /** by context */
  readonly #kept = byteCache(KEPT);

  constructor(source: ReaderAt, table: ChunkInfoTable) {
    this.#source = source;
    this.#table = table;
  }

  /** CORRUPT if the layer does not inflate to what the table says. One call at a time. */
  async read({ zran, uncompressedSize }: ChunkInfo): Promise<Buffer> {
    if (!zran) throw new RafsError('CORRUPT', 'a chunk of a gzip layer has no context');
    const from = zran.offset;
    const to = from + uncompressedSize;
    const start = this.#table.zran(zran.context);
    try {
      if (start.outSize > KEPT) return await this.#inflate(start, from, to);
      return (await this.#output(zran.context, start)).subarray(from, to);
    } catch (error) {
      throw located(error, { context: zran.context });
    }
  }

  /** The whole output of a context. */
  async #output(context: number, start: ZranStart): Promise<Buffer> {
    const kept = this.#kept.get(context);
    if (kept) return kept;
    const bytes = await this.#inflate(start, 0, start.outSize);
    this.#kept.set(context, bytes);
    return bytes;
  }

  /** The output of a context between two offsets. */
  async #inflate(start: ZranStart, from: number, to: number): Promise<Buffer> {
    const inflater = this.#inflater;
    const { dictionary: window, bits, byte, inOffset, inSize } = start;
    inflater.skip(inflater.unused.length);
    inflater.begin({ window, bits, byte });
    const bytes = allocate(to - from);
    const made = piecesOf(inflater);
    let input = 0; // bytes of the context read so far
    let at = 0; // in its output
    while (at < to) {
      const piece = made.next().value;
      if (piece) {
        if (at + piece.length > from) {
          const first = Math.max(from - at, 0);
          bytes.set(piece.subarray(first, to - at), Math.max(at - from, 0));
        }
        at += piece.length;
        continue;
      }
      const size = Math.min(PIECE_SIZE - inflater.unused.length, inSize - input);
      if (size === 0) {
        throw new RafsError(
          'CORRUPT',
          `expected ${to} bytes in ${inSize} bytes of gzip, got ${at}`,
        );
      }
      inflater.feed(await this.#source.read(inOffset + input, size));
      input += size;
    }
    return bytes;
  }
}

/** The inflater's output: views, each valid until the next; undefined where it needs input. */
function* piecesOf(inflater: Inflater): Generator<Buffer | undefined, never> {
  for (;;) {
    const stop = inflater.run();
    if (stop === 'block') continue;
    if (inflater.output.length > 0) {
      yield inflater.output;
      inflater.drop();
    }
    if (stop === 'input') yield undefined;
    if (stop !== 'end') continue;
    // another member may follow
    inflater.skip(0);
    while (inflater.unused.length < TRAILER_SIZE) yield undefined;
    inflater.skip(TRAILER_SIZE);
    const header = new GzipHeader(inflater.inputOffset);
    while (!header.complete) {
      if (inflater.unused.length === 0) yield undefined;
      inflater.skip(header.push(inflater.unused));
    }
    inflater.begin();
  }
}

/**
 * The first `size` bytes of a gzip member.
 *
 * @param stored the member, or at least as much of its start as they need
 */
export const readMember = (stored: Buffer, size: number): Buffer => {
  const steps = new GzipInflater();
  steps.feed(stored);
  const bytes = allocate(size);
  for (let at = 0; at < size;) {
    const piece = steps.next(size - at);
    if (!piece) throw new RafsError('CORRUPT', `gzip: expected ${size} bytes, got ${at}`);
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
};
