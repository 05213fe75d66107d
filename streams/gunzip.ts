/** Decompression of gzip sources. */
import type { Worker } from 'node:worker_threads';
import { copyOf } from '../lib/allocate.js';
import { PooledCopies, type BufferPool } from '../lib/buffer-pool.js';
import { RafsError } from '../lib/errors.js';
import { GzipSteps } from '../lib/gzip-steps.js';
import type { BytesPart } from '../lib/parts.js';
import type { GunzipReply, GunzipRequest } from './gunzip-worker.js';
import { Stage } from './stage.js';
import { startThread } from './threads.js';

/**
 * Decodes consecutive gzip members from bytes that come in pieces of any size; lib/gzip-steps.ts
 * says what is CORRUPT, and what may follow the last member.
 */
export class GzipDecoder {
  readonly #steps = new GzipSteps();
  readonly #copyOf: (bytes: Buffer) => Buffer;
  readonly #most: number; // bytes in a piece

  /** @param pool for the pieces; without it, they have buffers of their own */
  constructor(pool?: BufferPool) {
    this.#most = pool?.size ?? Infinity;
    const copies = pool && new PooledCopies(pool);
    this.#copyOf = copies ? bytes => copies.copyOf(bytes) : copyOf;
  }

  /** Decodes the next bytes, in pieces of at most 1 MiB, or of the size of the pool's buffers. */
  *push(bytes: Uint8Array): Iterable<Buffer> {
    this.#steps.feed(bytes);
    for (;;) {
      const piece = this.#steps.next(this.#most);
      if (!piece) return;
      yield this.#copyOf(piece);
    }
  }

  /** Must be called after the last bytes; fails with CORRUPT if a member is incomplete. */
  end(): void {
    this.#steps.end();
  }
}

/** How many parts of the source a worker holds besides the current one. */
const PARTS_AHEAD = 2;

/**
 * gunzip: the plain bytes of a gzip source.
 *
 * takes bytes, makes bytes of 1 MiB at most, with their offset in the plain stream
 * holds 1.5 MiB: input not yet used, and the window; with a worker, also four pieces of 1 MiB and
 *   three parts of the source
 */
export const gunzip = ({ worker = false, reads, pieces }: GunzipOptions = {}): Stage<
  BytesPart,
  BytesPart
> => (worker ? workerGunzip() : plainGunzip(reads, pieces));

export interface GunzipOptions {
  /** inflate in another thread: a tenth more work in all, but hardly any on this one */
  worker?: boolean;
  /** pool of the source's buffers; not for a worker */
  reads?: BufferPool | undefined;
  /** pool for the output; not for a worker */
  pieces?: BufferPool | undefined;
}

const plainGunzip = (reads?: BufferPool, pieces?: BufferPool): Stage<BytesPart, BytesPart> => {
  const decoder = new GzipDecoder(pieces);
  let offset = 0;
  return new Stage('gunzip', {
    *part(part) {
      reads?.reached(part.bytes);
      for (const bytes of decoder.push(part.bytes)) {
        yield { kind: 'bytes', offset, bytes };
        offset += bytes.length;
      }
    },
    end: () => decoder.end(),
  });
};

const workerGunzip = (): Stage<BytesPart, BytesPart> => {
  let worker: Worker | undefined; // started only when needed: it keeps the process alive
  const replies: GunzipReply[] = [];
  let failure: Error | undefined; // set if the thread itself has failed
  let wake = (): void => undefined;
  let partsAhead = 0;
  let done = false;
  let offset = 0;

  const start = (): Worker => {
    const started = startThread('gunzip-worker');
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
    // a part's bytes belong to its receiver, so they can be transferred; those of a pool cannot
    const { bytes } = request;
    const own = bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
    worker.postMessage({ kind: 'bytes', bytes: own }, [own.buffer as ArrayBuffer]);
  };

  /** Passes on the worker's output until `enough`. */
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
