/**
 * The block device of an image, read anywhere: the same bytes as block-image makes in order.
 *
 * Chunks are unpacked when they are asked for, and verified where the image knows their digests.
 * Held are the bootstrap, the CI tables of the blobs that were read, the chunks used last up to
 * `cacheSize`, and four chunks that are being unpacked.
 */
import { setImmediate } from 'node:timers/promises';
import { allocate, copyOf } from '../lib/allocate.js';
import type { BlockMap, MappedBlob } from '../lib/block-map.js';
import type { Bootstrap } from '../lib/bootstrap.js';
import { ByteCache } from '../lib/byte-cache.js';
import type { ChunkInfo, ChunkInfoTable } from '../lib/ci-table.js';
import { prepareCompressors } from '../lib/compress.js';
import { prepareDigests } from '../lib/digest.js';
import { located, RafsError } from '../lib/errors.js';
import { ChunkReader, readChunkInfo, Windows } from './blob-reader.js';
import { Digests, requireStored } from './block-image.js';
import type { RandomBytes } from './random-bytes.js';

export interface BlockReaderOptions {
  bootstrap: Bootstrap;
  /** the bytes of the bootstrap */
  image: Buffer;
  map: BlockMap;
  /** Opens the bytes of a blob, by its index. */
  open: (blobIndex: number) => Promise<RandomBytes>;
  /** bytes of unpacked chunks to keep */
  cacheSize: number;
}

/** What can be read like a disk. */
export interface BlockDevice {
  readonly size: number;
  /** Bytes of the caller's own; the range must lie on the device. */
  read(offset: number, size: number): Promise<Buffer>;
}

/**
 * Opens the blobs, all of them, and keeps them open. Their tables are read later, when they are
 * needed.
 *
 * Fails as the system does where a blob is missing; UNSUPPORTED for blobs that are layers as they
 * were; MISMATCH for a tar of another size.
 */
export const openBlockReader = async (options: BlockReaderOptions): Promise<BlockReader> => {
  const { bootstrap, map, open } = options;
  await Promise.all([prepareCompressors(), prepareDigests()]);
  const sources: RandomBytes[] = [];
  try {
    for (const { blob } of map.blobs) {
      if (!bootstrap.tarfs) requireStored(blob);
      const source = await open(blob.index);
      sources.push(source);
      if (!bootstrap.tarfs || source.size === blob.uncompressedSize) continue;
      const sizes = `the tar has ${source.size} bytes, not ${blob.uncompressedSize}`;
      throw new RafsError('MISMATCH', sizes, { blob: blob.id });
    }
    return new BlockReader(options, sources);
  } catch (error) {
    for (const source of sources) await source.close();
    throw error;
  }
};

export class BlockReader implements BlockDevice {
  readonly size: number;
  readonly #image: Buffer;
  readonly #sources: readonly RandomBytes[];
  readonly #regions: readonly { offset: number; size: number; bytes: Copier }[];

  constructor({ bootstrap, image, map, cacheSize }: BlockReaderOptions, sources: RandomBytes[]) {
    this.size = map.size;
    this.#image = image;
    this.#sources = sources;
    const shared: Shared = {
      digests: new Digests(image, bootstrap),
      windows: new Windows(),
      cache: new ByteCache(cacheSize),
      loading: new Map(),
    };
    this.#regions = map.blobs.map((mapped, i) => ({
      offset: mapped.offset,
      size: mapped.size,
      bytes: bootstrap.tarfs
        ? new TarBytes(sources[i]!)
        : new ChunkBytes(mapped, sources[i]!, shared),
    }));
  }

  async read(offset: number, size: number): Promise<Buffer> {
    const end = offset + size;
    if (!(offset >= 0 && size >= 0 && end <= this.size)) {
      throw new RangeError(`${size} bytes at ${offset} of ${this.size}`);
    }
    const bytes = allocate(size).fill(0); // zeros are what lies between blobs
    if (offset < this.#image.length) this.#image.copy(bytes, 0, offset, end);
    for (const region of this.#regions) {
      const from = Math.max(offset, region.offset);
      const to = Math.min(end, region.offset + region.size);
      if (from >= to) continue;
      const target = bytes.subarray(from - offset, to - offset);
      await region.bytes.copy(from - region.offset, target);
    }
    return bytes;
  }

  /** Reads that are under way may fail. */
  async close(): Promise<void> {
    for (const source of this.#sources) await source.close();
  }
}

/** What blobs have in common. */
interface Shared {
  digests: Digests;
  windows: Windows;
  cache: ByteCache;
  loading: Map<number, Promise<Buffer>>;
}

interface Copier {
  /** Fills `target`, which is zeros, with the bytes at an offset of a blob. */
  copy(offset: number, target: Buffer): Promise<void>;
}

class TarBytes implements Copier {
  readonly #source: RandomBytes;

  constructor(source: RandomBytes) {
    this.#source = source;
  }

  async copy(offset: number, target: Buffer): Promise<void> {
    (await this.#source.read(offset, target.length)).copy(target);
  }
}

const MOST_LOADING = 4;
/** A number for each chunk of an image: a CI table has at most so many. */
const MOST_CHUNKS = 2 ** 24;
/** Entries of a table that are looked at before others get their turn. */
const RUN = 0x4000;

class ChunkBytes implements Copier {
  readonly #mapped: MappedBlob;
  readonly #source: RandomBytes;
  readonly #shared: Shared;
  readonly #reader: ChunkReader;
  #table: Promise<ChunkInfoTable> | undefined;

  constructor(mapped: MappedBlob, source: RandomBytes, shared: Shared) {
    this.#mapped = mapped;
    this.#source = source;
    this.#shared = shared;
    this.#reader = new ChunkReader(mapped.blob, source, shared.windows);
  }

  async copy(offset: number, target: Buffer): Promise<void> {
    const { blob } = this.#mapped;
    const end = offset + target.length;
    try {
      const table = await (this.#table ??= this.#readTable().catch((error: unknown) => {
        this.#table = undefined; // it may be there the next time
        throw error;
      }));
      for (let index = lastAt(table, offset); index < table.count; index++) {
        const info = table.chunk(index);
        const at = info.uncompressedOffset;
        if (at >= end) return;
        if (at + info.uncompressedSize <= offset) continue; // what is asked for lies behind it
        const bytes = await this.#chunk(index, info);
        const skip = Math.max(0, offset - at);
        bytes.copy(target, Math.max(0, at - offset), skip, skip + end - Math.max(at, offset));
      }
    } catch (error) {
      throw located(error, { blob: blob.id });
    }
  }

  /** Chunks must lie in order and within the blob: it is by their offsets that they are found. */
  async #readTable(): Promise<ChunkInfoTable> {
    const { blob, size } = this.#mapped;
    const table = await readChunkInfo(this.#source, blob);
    let end = 0;
    for (let index = 0; index < table.count; index++) {
      if (index % RUN === RUN - 1) await setImmediate();
      const { uncompressedOffset, uncompressedSize } = table.chunk(index);
      if (uncompressedOffset < end || uncompressedOffset + uncompressedSize > size) {
        const where = `lies at ${uncompressedOffset}, not between ${end} and ${size}`;
        throw new RafsError('CORRUPT', where, { chunk: index });
      }
      end = uncompressedOffset + uncompressedSize;
    }
    return table;
  }

  async #chunk(index: number, info: ChunkInfo): Promise<Buffer> {
    const { cache, loading } = this.#shared;
    const key = this.#mapped.blob.index * MOST_CHUNKS + index;
    for (;;) {
      const bytes = cache.get(key) ?? loading.get(key);
      if (bytes) return bytes;
      if (loading.size < MOST_LOADING) break;
      // whoever waits for one that fails is told; here it only makes room
      await Promise.race(loading.values()).catch(() => undefined);
    }
    const load = this.#load(index, info).finally(() => loading.delete(key));
    loading.set(key, load);
    return load;
  }

  async #load(index: number, info: ChunkInfo): Promise<Buffer> {
    const { digests, cache } = this.#shared;
    const { blob } = this.#mapped;
    try {
      const chunk = digests.chunk(blob.index, index, info);
      const bytes = await this.#reader.read(chunk);
      digests.verify(blob.digester, chunk, bytes);
      // a view of a batch, or of what was read ahead, would keep all of that
      const own = bytes.buffer.byteLength === bytes.length ? bytes : copyOf(bytes);
      cache.set(blob.index * MOST_CHUNKS + index, own);
      return own;
    } catch (error) {
      throw located(error, { chunk: index, offset: info.compressedOffset });
    }
  }
}

/** The last chunk that starts at an offset or before it; the first, if none does. */
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
