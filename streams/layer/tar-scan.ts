/**
 * tar-scan: source of the entries of a tar in a regular file, without their content.
 *
 * makes entry and end for every entry, and layer at the end
 * holds a window of 16 KiB
 *
 * If the digest of the tar is wanted, a thread computes it while the headers are read here; the
 * layer part comes after the headers, with a promise of the digest.
 */
import fs from 'node:fs';
import { Readable } from 'node:stream';
import { RafsError, located } from '../../lib/errors.js';
import type { LayerPart } from '../../lib/model/parts.js';
import { FileHash } from '../threads/file-hash.js';
import type { Batch } from '../batch.js';
import { tarReader, type TarPart, type TarReader } from '../../lib/tar/reader.js';

type Out = TarPart | LayerPart;

/**
 * Bytes per read. Content shorter than this is read along with the headers around it: that costs
 * less than another read.
 */
const WINDOW = 0x4000;
const BATCH_PARTS = 0x200;
const BATCH_READS = 0x100; // for a tar that is mostly zeros

/** An open tar, and its stat when it was opened. */
interface OpenTar {
  path: string;
  fd: number;
  stat: fs.BigIntStats;
}

interface ScanOptions {
  /** whether the layer part should promise the digest */
  hashed: boolean;
  /** is told, in one sentence for each, what is left out or changed */
  warn?: (message: string) => void;
}

export class TarScan extends Readable {
  /** size of the file */
  readonly size: number;
  readonly #tar: OpenTar;
  readonly #hashed: boolean;
  readonly #parser: TarReader;
  readonly #window = Buffer.allocUnsafeSlow(WINDOW);
  #hash: FileHash | undefined;
  #position = 0;
  #ended = false;

  constructor(tar: OpenTar, { hashed, warn }: ScanOptions) {
    // it lives on after its end, until the digest is ready
    super({ objectMode: true, highWaterMark: 2, autoDestroy: false });
    this.#tar = tar;
    this.#hashed = hashed;
    this.#parser = tarReader({ contents: false, ...(warn ? { warn } : {}) });
    this.size = Number(tar.stat.size);
  }

  /** bytes read or skipped */
  get bytesRead(): number {
    return this.#position;
  }

  /** The first bytes, fewer than `count` only if there are no more. */
  peek(count: number): Buffer {
    return this.#read(0, count);
  }

  override _read(): void {
    // synchronous reads without a break would keep timers and signals waiting
    setImmediate(() => this.#next());
  }

  #next(): void {
    if (this.destroyed) return;
    if (this.#ended) {
      this.push(null);
      return;
    }
    try {
      if (this.#hashed) this.#hash ??= new FileHash({ fd: this.#tar.fd, size: this.size });
      this.push(this.#batch());
    } catch (error) {
      this.destroy(this.#located(error));
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const close = (): void => fs.close(this.#tar.fd, failure => done(error ?? failure));
    if (this.#hash) void this.#hash.close().then(close, close);
    else close();
  }

  #located(error: unknown): Error {
    return located(error, { stage: 'tar-scan', path: this.#tar.path });
  }

  /** The last part of the scan; the file is closed when the digest is ready. */
  #layer(): LayerPart {
    this.#checkUnchanged();
    const layer = { kind: 'layer', size: this.size } as const;
    const ended = new Promise<void>(resolve => this.once('end', () => resolve()));
    if (!this.#hash) {
      void ended.then(() => this.destroy());
      return { ...layer, digest: undefined };
    }
    const late = this.#hash.digest.then(
      digest => {
        this.#checkUnchanged();
        return digest;
      },
      (error: unknown) => {
        throw this.#located(error);
      },
    );
    void Promise.allSettled([ended, late]).then(() => this.destroy());
    return { ...layer, digest: undefined, pending: late };
  }

  /** Fails if the tar has changed: what was read before and after may not fit together. */
  #checkUnchanged(): void {
    const { fd, stat } = this.#tar;
    const { size, mtimeNs } = fs.fstatSync(fd, { bigint: true });
    if (size === stat.size && mtimeNs === stat.mtimeNs) return;
    throw new RafsError('CORRUPT', 'the tar changed while it was read');
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
        throw new RafsError('CORRUPT', 'the tar changed while it was read', { offset });
      }
      this.#parser.part({ kind: 'bytes', offset, bytes }, part => batch.push(part));
      this.#position = offset + bytes.length;
      if (this.#position < this.size) continue;
      this.#parser.end();
      this.#ended = true;
      batch.push(this.#layer());
    }
    return batch;
  }

  /** Bytes that are valid until the next read; no output of the parser refers to them. */
  #read(offset: number, most: number): Buffer {
    const size = Math.min(most, this.size - offset);
    let count = 0;
    while (count < size) {
      const got = fs.readSync(this.#tar.fd, this.#window, count, size - count, offset + count);
      if (got === 0) break;
      count += got;
    }
    return this.#window.subarray(0, count);
  }
}

/** Opens a tar; undefined if it is not a regular file. Fails with the system's error. */
export const openTarScan = (path: string, options: ScanOptions): TarScan | undefined => {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  let stat: fs.BigIntStats | undefined;
  try {
    stat = fs.fstatSync(fd, { bigint: true });
    if (stat.isFile()) return new TarScan({ path, fd, stat }, options);
  } catch (error) {
    throw located(error, { stage: 'tar-scan', path });
  } finally {
    if (!stat?.isFile()) fs.closeSync(fd);
  }
  return undefined;
};
