/** Decompression of gzip sources. */
import { Worker } from 'node:worker_threads';
import { GzipHeader, crc32 } from '../lib/compression.js';
import { RafsError } from '../lib/errors.js';
import { Inflater } from '../lib/inflate.js';
import type { BytesPart } from '../lib/parts.js';
import { u32 } from '../lib/struct.js';
import type { GunzipReply, GunzipRequest } from './gunzip-worker.js';
import { Stage } from './stage.js';

/** CRC-32 and size modulo 2^32 of what a member holds. */
const TRAILER_SIZE = 8;

/** Where in the source the decoder stands; `padding` are zeros after the last member. */
type Place = 'header' | 'body' | 'trailer' | 'between' | 'padding';

/**
 * Decodes gzip members, one after the other, from bytes that come in any pieces.
 *
 * Zeros may follow the last member, since tapes and tools pad with them; other bytes are CORRUPT,
 * like all that breaks the format, and the error has the offset in the compressed source.
 */
export class GzipDecoder {
  #inflater = new Inflater();
  #place: Place = 'header';
  #header = new GzipHeader(0);
  #crc = 0;
  #memberStart = 0; // where the member's content begins in the output
  #size = 0; // bytes of the source so far

  /** Makes of the next bytes what there is in them, in pieces of 1 MiB at most. */
  *push(bytes: Uint8Array): Iterable<Buffer> {
    this.#size += bytes.length;
    for (let at = 0; at < bytes.length;) {
      at += this.#inflater.feed(at === 0 ? bytes : bytes.subarray(at));
      yield* this.#decode();
    }
  }

  /** To be called after the last bytes: CORRUPT if a member is not complete. */
  end(): void {
    if (this.#place === 'between' || this.#place === 'padding') return;
    throw new RafsError('CORRUPT', `gzip: ends in the ${this.#place} of a member`, {
      offset: this.#size,
    });
  }

  /** Goes on until all input is used up. */
  *#decode(): Iterable<Buffer> {
    const inflater = this.#inflater;
    for (;;) {
      if (this.#place === 'body') {
        const stop = inflater.run();
        if (stop === 'block') continue;
        if (inflater.output.length > 0) yield this.#take();
        if (stop === 'input') return;
        if (stop === 'end') {
          inflater.skip(0);
          this.#place = 'trailer';
        }
        continue;
      }
      const unused = inflater.unused;
      if (unused.length === 0) return;
      switch (this.#place) {
        case 'header':
          inflater.skip(this.#header.push(unused));
          if (this.#header.complete) this.#beginBody();
          break;
        case 'trailer':
          if (unused.length < TRAILER_SIZE) return;
          this.#checkTrailer(unused);
          inflater.skip(TRAILER_SIZE);
          this.#place = 'between';
          break;
        case 'between':
          this.#header = new GzipHeader(inflater.inputOffset);
          this.#place = unused[0] === 0 ? 'padding' : 'header';
          break;
        case 'padding':
          this.#checkPadding(unused);
          inflater.skip(unused.length);
      }
    }
  }

  #take(): Buffer {
    this.#crc = crc32(this.#inflater.output, this.#crc);
    return this.#inflater.take();
  }

  #beginBody(): void {
    this.#inflater.begin();
    this.#memberStart = this.#inflater.outputOffset;
    this.#crc = 0;
    this.#place = 'body';
  }

  #checkTrailer(bytes: Buffer): void {
    const offset = this.#inflater.inputOffset;
    const crc = u32.read(bytes, 0);
    if (crc !== this.#crc) {
      const message = `gzip: checksum 0x${this.#crc.toString(16)}, not 0x${crc.toString(16)}`;
      throw new RafsError('CORRUPT', message, { offset });
    }
    const size = u32.read(bytes, 4);
    const made = (this.#inflater.outputOffset - this.#memberStart) % 2 ** 32;
    if (made !== size) {
      throw new RafsError('CORRUPT', `gzip: ${made} bytes, not ${size}`, { offset: offset + 4 });
    }
  }

  #checkPadding(bytes: Buffer): void {
    const at = bytes.findIndex(byte => byte !== 0);
    if (at < 0) return;
    throw new RafsError('CORRUPT', 'gzip: other bytes than zeros after the last member', {
      offset: this.#inflater.inputOffset + at,
    });
  }
}

/** How many parts of the source a worker holds beside the one under way. */
const PARTS_AHEAD = 2;

/**
 * gunzip: the plain bytes of a gzip source.
 *
 * takes bytes, makes bytes of 1 MiB at most, with their offset in the plain stream
 * holds 1.5 MiB: input not used yet, and the window; with a worker, four pieces of 1 MiB and three
 * parts of the source besides
 *
 * @param worker inflate in a thread: a tenth more work in all, but hardly any on this thread
 */
export const gunzip = ({ worker = false }: { worker?: boolean } = {}): Stage<
  BytesPart,
  BytesPart
> => (worker ? workerGunzip() : plainGunzip());

const plainGunzip = (): Stage<BytesPart, BytesPart> => {
  const decoder = new GzipDecoder();
  let offset = 0;
  return new Stage('gunzip', {
    *part(part) {
      for (const bytes of decoder.push(part.bytes)) {
        yield { kind: 'bytes', offset, bytes };
        offset += bytes.length;
      }
    },
    end: () => decoder.end(),
  });
};

const workerGunzip = (): Stage<BytesPart, BytesPart> => {
  let worker: Worker | undefined; // not before it is needed: it keeps the process alive
  const replies: GunzipReply[] = [];
  let failure: Error | undefined; // the thread itself is gone
  let wake = (): void => undefined;
  let partsAhead = 0;
  let done = false;
  let offset = 0;

  const start = (): Worker => {
    const started = new Worker(new URL('./gunzip-worker.js', import.meta.url));
    started.on('message', (reply: GunzipReply) => {
      replies.push(reply);
      wake();
    });
    started.on('error', error => {
      failure = error;
      wake();
    });
    return started;
  };

  const ask = (request: GunzipRequest): void => {
    worker ??= start();
    if (request.kind !== 'bytes') {
      worker.postMessage(request);
      return;
    }
    // the bytes of a part are its receiver's, so they can be handed over; not so those of a pool
    const { bytes } = request;
    const own = bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
    worker.postMessage({ kind: 'bytes', bytes: own }, [own.buffer as ArrayBuffer]);
  };

  /** Passes on what the worker makes until `enough`. */
  async function* pieces(enough: () => boolean): AsyncIterable<BytesPart> {
    while (!enough()) {
      const reply = replies.shift();
      if (!reply) {
        if (failure) throw failure;
        await new Promise<void>(resolve => {
          wake = resolve;
        });
        continue;
      }
      switch (reply.kind) {
        case 'failed':
          throw new RafsError(reply.code, reply.message, reply.at);
        case 'done':
          done = true;
          break;
        case 'used':
          partsAhead--;
          break;
        case 'piece': {
          const bytes = Buffer.from(reply.bytes.buffer, 0, reply.bytes.length);
          yield { kind: 'bytes', offset, bytes };
          offset += bytes.length;
          ask({ kind: 'more' });
        }
      }
    }
  }

  return new Stage('gunzip', {
    async *batch(parts) {
      for (const { bytes } of parts) {
        ask({ kind: 'bytes', bytes });
        partsAhead++;
        yield* pieces(() => partsAhead <= PARTS_AHEAD);
      }
    },
    async *end() {
      ask({ kind: 'end' });
      yield* pieces(() => done);
    },
    close() {
      void worker?.terminate();
    },
  });
};
