/**
 * Contexts of a gzip layer: where inflating has to start for a chunk. They are cut while the layer
 * is inflated from front to back, by the rules of nydus-image, so that the tables are the same.
 */
import { copyOf } from '../memory/allocate.js';
import { ByteArena } from '../memory/columns.js';
import { RafsError } from '../errors.js';
import { GrowingMemory } from '../memory/growing-memory.js';
import { ZranContext } from '../layout/blob.js';
import type { ContextPart } from '../model/parts.js';
import type { ZranContextInfo, ZranExtent } from '../model/chunk.js';
import type { GzipPosition, GzipBoundary } from '../compress/gzip-position.js';

/** A context with more input than this is not extended over a gap larger than that input. */
const LEAST_INPUT = 0x80000;
const MOST_INPUT = 0x80000;
const MOST_OUTPUT = 0x200000;
const MOST_CONTEXTS = 2 ** 24;

/** Cuts a layer into contexts, chunk after chunk. */
export class ZranCutter {
  readonly #chunkSize: number;
  #context: ZranContextInfo | undefined;
  #dictionary: Buffer | undefined;
  #count = 0;
  #start: GzipPosition = { inOffset: 0, outOffset: 0 };

  /** @param chunkSize of the build; a shorter chunk counts as that long */
  constructor(chunkSize: number) {
    this.#chunkSize = chunkSize;
  }

  /**
   * To be called where a chunk begins, with the last boundary before it. If that begins a new
   * context, returns the one that it completes.
   */
  begin(at: GzipPosition, boundary: GzipBoundary): ContextPart | undefined {
    this.#start = { inOffset: at.inOffset, outOffset: at.outOffset };
    if (this.#context && !isFull(this.#context, at, boundary, this.#chunkSize)) return undefined;
    const complete = this.last();
    if (this.#count++ > MOST_CONTEXTS) {
      throw new RafsError('LIMIT', `a layer cannot have more than ${MOST_CONTEXTS} contexts`);
    }
    const { inOffset, outOffset, bits, byte, window } = boundary;
    this.#context = { inOffset, outOffset, inSize: 0, outSize: 0, bits, byte };
    this.#dictionary = copyOf(window);
    return complete;
  }

  /** To be called where the chunk ends. */
  end({ inOffset, outOffset }: GzipPosition): ZranExtent {
    const context = this.#context!; // begin() has made one
    context.inSize = inOffset - context.inOffset;
    context.outSize = outOffset - context.outOffset;
    return {
      inOffset: this.#start.inOffset,
      inSize: inOffset - this.#start.inOffset,
      context: this.#count - 1,
      offset: this.#start.outOffset - context.outOffset,
    };
  }

  /** The context that is still open. */
  last(): ContextPart | undefined {
    if (!this.#context) return undefined;
    return { kind: 'context', context: this.#context, dictionary: this.#dictionary! };
  }
}

/** Whether the chunk that begins at `at` goes into a context of its own. */
const isFull = (
  context: ZranContextInfo,
  at: GzipPosition,
  boundary: GzipBoundary,
  chunkSize: number,
): boolean => {
  // without a boundary since, a new context would be the same one
  if (boundary.inOffset === context.inOffset) return false;
  const input = at.inOffset - context.inOffset;
  const output = at.outOffset - context.outOffset;
  if (input >= MOST_INPUT || output + chunkSize >= MOST_OUTPUT) return true;
  return input > 2 * context.inSize && context.inSize > LEAST_INPUT;
};

/** Where a table keeps its dictionaries: `SpooledMemory`, or `GrowingMemory`, which holds all. */
export interface Dictionaries {
  readonly size: number;
  add(bytes: Uint8Array): void;
  view(at: number, size: number): Buffer;
  behind(head: Uint8Array): Buffer | undefined;
}

/** The contexts of a layer as they are stored: records, then all dictionaries. */
export class ZranTable {
  readonly #records = new ByteArena();
  readonly #dictionaries: Dictionaries;
  readonly #scratch = Buffer.alloc(ZranContext.size);

  constructor(dictionaries: Dictionaries = new GrowingMemory()) {
    this.#dictionaries = dictionaries;
  }

  get count(): number {
    return this.#records.length / ZranContext.size;
  }

  /** Bytes of the whole table. */
  get size(): number {
    return this.#records.length + this.#dictionaries.size;
  }

  add({ context, dictionary }: ContextPart): void {
    ZranContext.encodeInto(this.#scratch, 0, {
      ...context,
      dictOffset: this.#dictionaries.size,
      dictSize: dictionary.length,
    });
    this.#records.add(this.#scratch);
    this.#dictionaries.add(dictionary);
  }

  /**
   * A table of only the contexts for which `used` has a 1, and their numbers in it.
   *
   * @param dictionaries where the new table keeps its dictionaries
   */
  only(
    used: Uint8Array,
    dictionaries: Dictionaries = new GrowingMemory(),
  ): { table: ZranTable; numbers: Uint32Array } {
    const table = new ZranTable(dictionaries);
    const numbers = new Uint32Array(this.count);
    for (let i = 0; i < this.count; i++) {
      if (!used[i]) continue;
      numbers[i] = table.count;
      const record = this.#records.view(i * ZranContext.size, ZranContext.size);
      const { dictOffset, dictSize, ...context } = ZranContext.decode(record);
      const dictionary = this.#dictionaries.view(dictOffset, dictSize);
      table.add({ kind: 'context', context, dictionary });
    }
    return { table, numbers };
  }

  /**
   * `head`, followed by the whole table. To be called only once, because the table may be too large
   * to exist twice; undefined if it is too large to be in memory at all: then use `pieces`.
   */
  behind(head: Buffer): Buffer | undefined {
    return this.#dictionaries.behind(Buffer.concat([head, this.#held]));
  }

  /** The same in pieces: `head` and the records, then the dictionaries, `size` bytes at a time. */
  *pieces(head: Buffer, size: number): Iterable<Buffer> {
    yield Buffer.concat([head, this.#held]);
    for (let at = 0; at < this.#dictionaries.size; at += size) {
      yield this.#dictionaries.view(at, Math.min(size, this.#dictionaries.size - at));
    }
  }

  get #held(): Buffer {
    return this.#records.view(0, this.#records.length);
  }
}
