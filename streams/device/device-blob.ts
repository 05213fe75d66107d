/**
 * One blob of a block device, with random access. It is opened when it is first read; if that
 * fails, the next read tries again.
 */
import { LRUCache } from 'lru-cache';
import { setImmediate } from 'node:timers/promises';
import { copyOf } from '../../lib/memory/allocate.js';
import { endOfChunk, requireGap, type DeviceBlob } from '../../lib/device/block-map.js';
import { byteCache, type ByteCache } from '../../lib/memory/byte-cache.js';
import type { ChunkInfo, ChunkInfoTable } from '../../lib/blob/chunk-info-table.js';
import { located, RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { BlobBlocks } from '../read/blob-blocks.js';
import { ChunkReader } from '../read/chunk-reader.js';
import { readChunkInfo } from '../read/chunk-info.js';
import type { ChunkLookup } from './chunk-lookup.js';
import type { ReaderAt } from '../io/reader-at.js';

/** Opens the bytes of a blob; called again after a failure. */
export type OpenBytes = () => Promise<ReaderAt>;

export interface DeviceBytes {
  /** Fills `target`, which is zeros, with the bytes at an offset of the blob. */
  copy(offset: number, target: Buffer): Promise<void>;
  /** Reads in progress may fail. */
  close(): Promise<void>;
}

/** A value that is made when first requested; a failure is not kept. */
class Lazy<T> {
  readonly #make: () => Promise<T>;
  #made: Promise<T> | undefined;

  constructor(make: () => Promise<T>) {
    this.#make = make;
  }

  get(): Promise<T> {
    this.#made ??= this.#make().catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    return this.#made;
  }

  /** Gives the value to `work`, if there is one, and forgets it. */
  async end(work: (value: T) => Promise<void>): Promise<void> {
    const value = await this.#made?.catch(() => undefined); // reported to whoever asked for it
    this.#made = undefined;
    if (value !== undefined) await work(value);
  }
}

/** A tar, mapped unchanged. MISMATCH if it has another size; its bytes have no digests. */
export class DeviceTar implements DeviceBytes {
  readonly #mapped: DeviceBlob;
  readonly #source: Lazy<ReaderAt>;

  constructor(mapped: DeviceBlob, open: OpenBytes) {
    this.#mapped = mapped;
    this.#source = new Lazy(() => this.#open(open));
  }

  async copy(offset: number, target: Buffer): Promise<void> {
    try {
      const source = await this.#source.get();
      (await source.read(offset, target.length)).copy(target);
    } catch (error) {
      throw located(error, { blob: this.#mapped.blob.id });
    }
  }

  async close(): Promise<void> {
    await this.#source.end(source => source.close());
  }

  async #open(open: OpenBytes): Promise<ReaderAt> {
    const due = this.#mapped.blob.uncompressedSize;
    const source = await open();
    if (source.size === due) return source;
    await source.close();
    throw new RafsError('MISMATCH', `expected a tar of ${due} bytes, got ${source.size}`);
  }
}

/** Most chunks being unpacked at a time. */
const MOST_LOADING = 4;
/** Most blobs that keep what was last unpacked of them: a batch, or 16 MiB of a gzip layer. */
const MOST_READERS = 4;
/** Most chunks in a CI table; gives each chunk of an image a number of its own. */
const MOST_CHUNKS = 2 ** 24;
/** Entries of a table to look at before other work gets its turn. */
const RUN = 0x4000;

/** What the blobs of a device share, so that one bound holds for all of them. */
export class SharedChunks {
  readonly digests: ChunkLookup;
  readonly blocks = new BlobBlocks();
  readonly #cache: ByteCache;
  readonly #loading = new Map<number, Promise<Buffer>>();
  /** by blob */
  readonly #readers = new LRUCache<number, ChunkReader>({ max: MOST_READERS });

  /** @param cacheSize bytes of unpacked chunks to keep */
  constructor(digests: ChunkLookup, cacheSize: number) {
    this.digests = digests;
    this.#cache = byteCache(cacheSize);
  }

  /** A chunk from the cache, or from `load`, which runs once for all who wait for the chunk. */
  async chunk(blobIndex: number, index: number, load: () => Promise<Buffer>): Promise<Buffer> {
    const key = blobIndex * MOST_CHUNKS + index;
    for (;;) {
      const bytes = this.#cache.get(key) ?? this.#loading.get(key);
      if (bytes) return bytes;
      if (this.#loading.size < MOST_LOADING) break;
      // a failure is reported to those waiting for that chunk; here it only makes room
      await Promise.race(this.#loading.values()).catch(() => undefined);
    }
    const loading = load()
      .then(bytes => {
        // a view would keep alive the whole batch or read-ahead that it is part of
        const own = bytes.buffer.byteLength === bytes.length ? bytes : copyOf(bytes);
        this.#cache.set(key, own);
        return own;
      })
      .finally(() => this.#loading.delete(key));
    this.#loading.set(key, loading);
    return loading;
  }

  /** The reader of a blob, kept or new. */
  reader(blobIndex: number, make: () => ChunkReader): ChunkReader {
    const reader = this.#readers.get(blobIndex) ?? make();
    this.#readers.set(blobIndex, reader);
    return reader;
  }
}

/** A blob that is open, with its CI table. */
interface OpenBlob {
  source: ReaderAt;
  table: ChunkInfoTable;
}

/** Chunks, unpacked on demand and verified if the image knows their digests. */
export class DeviceChunks implements DeviceBytes {
  readonly #mapped: DeviceBlob;
  readonly #shared: SharedChunks;
  readonly #open: Lazy<OpenBlob>;
  /** the last read queued for a gzip layer, whose reader does one thing at a time */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param openTables opens the tables of an original layer */
  constructor(mapped: DeviceBlob, shared: SharedChunks, open: OpenBytes, openTables: OpenBytes) {
    this.#mapped = mapped;
    this.#shared = shared;
    this.#open = new Lazy(() => this.#openBlob(open, openTables));
  }

  async copy(offset: number, target: Buffer): Promise<void> {
    const { blob } = this.#mapped;
    const end = offset + target.length;
    try {
      const opened = await this.#open.get();
      const { table } = opened;
      for (let index = lastAt(table, offset); index < table.count; index++) {
        const info = table.chunk(index);
        const at = info.uncompressedOffset;
        if (at >= end) return;
        if (at + info.uncompressedSize <= offset) continue; // what was requested lies after it
        const bytes = await this.#shared.chunk(blob.index, index, () =>
          this.#load(opened, index, info),
        );
        const skip = Math.max(0, offset - at);
        bytes.copy(target, Math.max(0, at - offset), skip, skip + end - Math.max(at, offset));
      }
    } catch (error) {
      throw located(error, { blob: blob.id });
    }
  }

  async close(): Promise<void> {
    await this.#open.end(({ source }) => source.close());
  }

  async #openBlob(open: OpenBytes, openTables: OpenBytes): Promise<OpenBlob> {
    const { blob } = this.#mapped;
    const source = await open();
    try {
      if (!(blob.features & BlobFeature.SEPARATE)) {
        return { source, table: await this.#readTable(source) };
      }
      const tables = await openTables();
      try {
        return { source, table: await this.#readTable(tables) };
      } finally {
        await tables.close();
      }
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** Chunks must lie in order and within the blob, because they are looked up by offset. */
  async #readTable(source: ReaderAt): Promise<ChunkInfoTable> {
    const { blob, size } = this.#mapped;
    const table = await readChunkInfo(source, blob);
    let end = 0;
    for (let index = 0; index < table.count; index++) {
      if (index % RUN === RUN - 1) await setImmediate();
      try {
        end = endOfChunk(table.chunk(index), end, size);
      } catch (error) {
        throw located(error, { chunk: index });
      }
    }
    requireGap(size - end);
    return table;
  }

  async #load({ source, table }: OpenBlob, index: number, info: ChunkInfo): Promise<Buffer> {
    const { digests, blocks } = this.#shared;
    const { blob } = this.#mapped;
    try {
      const chunk = digests.chunk(blob.index, index, info);
      const make = (): ChunkReader => new ChunkReader(blob, source, blocks, { table });
      const read = async (): Promise<Buffer> => this.#shared.reader(blob.index, make).read(chunk);
      const bytes = await (blob.features & BlobFeature.ZRAN ? this.#next(read) : read());
      digests.verify(blob.digester, chunk, bytes);
      return bytes;
    } catch (error) {
      throw located(error, { chunk: index, offset: info.compressedOffset });
    }
  }

  /** Runs `work` once the work before it has ended, successfully or not. */
  #next<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

/** The last chunk that starts at or before an offset; the first if none does. */
const lastAt = (table: ChunkInfoTable, offset: number): number => {
  let low = 0;
  let high = table.count;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (table.chunk(middle).uncompressedOffset <= offset) low = middle;
    else high = middle;
  }
  return low;
};
