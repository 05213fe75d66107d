/**
 * tar-scan: source of the entries of a tar in a regular file, whose content is not read.
 *
 * makes entry and end for every entry, and layer at the end
 * holds a window of 16 KiB
 *
 * For a tar whose digest nobody wants: the headers are a few hundredths of it.
 */
import fs from 'node:fs';
import { Readable } from 'node:stream';
import { RafsError, located } from '../lib/errors.js';
import type { DataPart, EndPart, EntryPart, LayerPart } from '../lib/parts.js';
import type { Batch } from './stage.js';
import { tarParser, type TarParser } from './tar-demux.js';

type Out = EntryPart | DataPart | EndPart | LayerPart;

/**
 * Bytes of a read. Content shorter than this is read along with the headers around it: that costs
 * less than another read.
 */
const WINDOW = 0x4000;
const BATCH_PARTS = 0x200;
const BATCH_READS = 0x100; // of a tar that is mostly zeros

export class TarScan extends Readable {
  /** bytes of the file */
  readonly size: number;
  #fd: number;
  #path: string;
  #parser: TarParser = tarParser({ contents: false, empty: true });
  readonly #window = Buffer.allocUnsafeSlow(WINDOW);
  #position = 0;
  #ended = false;

  constructor(path: string, fd: number, size: number) {
    super({ objectMode: true, highWaterMark: 2 });
    this.#path = path;
    this.#fd = fd;
    this.size = size;
  }

  /** bytes read or passed over */
  get bytesRead(): number {
    return this.#position;
  }

  /** The first bytes, fewer than `count` only if there are no more. */
  peek(count: number): Buffer {
    return this.#read(0, count);
  }

  override _read(): void {
    if (this.#ended) {
      this.push(null);
      return;
    }
    try {
      this.push(this.#batch());
    } catch (error) {
      this.destroy(located(error, { stage: 'tar-scan' }));
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    fs.close(this.#fd, failure => done(error ?? failure));
  }

  #batch(): Batch<Out> {
    const batch: Out[] = [];
    for (
      let reads = 0;
      reads < BATCH_READS && batch.length < BATCH_PARTS && !this.#ended;
      reads++
    ) {
      const offset = Math.min(this.#position + this.#parser.skippable, this.size);
      const bytes = this.#read(offset, WINDOW);
      if (bytes.length === 0 && offset < this.size) {
        throw new RafsError('CORRUPT', 'the tar became shorter while it was read', { offset });
      }
      for (const part of this.#parser.part({ kind: 'bytes', offset, bytes })) batch.push(part);
      this.#position = offset + bytes.length;
      if (this.#position < this.size) continue;
      this.#parser.end();
      this.#ended = true;
      batch.push({ kind: 'layer', size: this.size, digest: undefined });
    }
    return batch;
  }

  /** Bytes that stay until the next read, which nothing that the parser makes refers to. */
  #read(offset: number, most: number): Buffer {
    const size = Math.min(most, this.size - offset);
    let count = 0;
    try {
      while (count < size) {
        const got = fs.readSync(this.#fd, this.#window, count, size - count, offset + count);
        if (got === 0) break;
        count += got;
      }
    } catch (error) {
      throw located(error, { path: this.#path });
    }
    return this.#window.subarray(0, count);
  }
}

/** Opens a tar; undefined where it is no regular file. Fails with the system's error. */
export const openTarScan = (path: string): TarScan | undefined => {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const stat = fs.fstatSync(fd);
    if (stat.isFile()) return new TarScan(path, fd, stat.size);
    fs.closeSync(fd);
    return undefined;
  } catch (error) {
    fs.closeSync(fd);
    throw located(error, { stage: 'tar-scan', path });
  }
};
