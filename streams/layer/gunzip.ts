/** Decompression of gzip sources. */
import { copyOf } from '../../lib/memory/allocate.js';
import { PooledCopies, type BufferPool } from '../../lib/memory/buffer-pool.js';
import { GzipInflater } from '../../lib/compress/gzip-inflater.js';
import type { BytesPart } from '../../lib/model/parts.js';
import { Stage } from '../stage.js';

/**
 * Decodes consecutive gzip members from bytes that come in pieces of any size; lib/compress/gzip-inflater.ts
 * says what is CORRUPT, and what may follow the last member.
 */
export class GzipDecoder {
  readonly #steps = new GzipInflater();
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

export interface GunzipOptions {
  /** pool of the source's buffers */
  reads?: BufferPool | undefined;
  /** pool for the output */
  pieces?: BufferPool | undefined;
}

/**
 * gunzip: the plain bytes of a gzip source.
 *
 * takes bytes, makes bytes of 1 MiB at most, with their offset in the plain stream
 * holds 1.5 MiB: input not yet used, and the window
 */
export const gunzip = ({ reads, pieces }: GunzipOptions = {}): Stage<BytesPart, BytesPart> => {
  const decoder = new GzipDecoder(pieces);
  let offset = 0;
  return new Stage('gunzip', {
    *transform(part) {
      reads?.releaseBefore(part.bytes);
      for (const bytes of decoder.push(part.bytes)) {
        yield { kind: 'bytes', offset, bytes };
        offset += bytes.length;
      }
    },
    flush: () => decoder.end(),
  });
};
