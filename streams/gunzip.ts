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
 * Decodes gzip members, one after the other, from bytes that come in any pieces; what is CORRUPT,
 * and what may follow the last member, is said in lib/gzip-steps.ts.
 */
export class GzipDecoder {
  readonly #steps = new GzipSteps();
  readonly #copyOf: (bytes: Buffer) => Buffer;
  readonly #most: number; // bytes of a piece

  /** @param pool that pieces are from; they have buffers of their own without it */
  constructor(pool?: BufferPool) {
    this.#most = pool?.size ?? Infinity;
    const copies = pool && new PooledCopies(pool);
    this.#copyOf = copies ? bytes => copies.copyOf(bytes) : copyOf;
  }

  /** Makes of the next bytes what there is in them, in pieces of 1 MiB, or of the pool's size, at most. */
  *push(bytes: Uint8Array): Iterable<Buffer> {
    this.#steps.feed(bytes);
    for (;;) {
      const piece = this.#steps.next(this.#most);
      if (!piece) return;
      yield this.#copyOf(piece);
    }
  }

  /** To be called after the last bytes: CORRUPT if a member is not complete. */
  end(): void {
    this.#steps.end();
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
 */
export const gunzip = ({ worker = false, reads, pieces }: GunzipOptions = {}): Stage<
  BytesPart,
  BytesPart
> => (worker ? workerGunzip() : plainGunzip(reads, pieces));

export interface GunzipOptions {
  /** inflate in a thread: a tenth more work in all, but hardly any on this thread */
  worker?: boolean;
  /** what the source has its buffers from; not for a worker */
  reads?: BufferPool | undefined;
  /** for what is made; not for a worker */
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
  let worker: Worker | undefined; // not before it is needed: it keeps the process alive
  const replies: GunzipReply[] = [];
  let failure: Error | undefined; // the thread itself is gone
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
