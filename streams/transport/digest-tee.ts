/** Bytes that are measured and digested on their way to a target. */
import { createHash } from 'node:crypto';
import { RafsError } from '../../lib/errors.js';
import { parseDigest } from '../../lib/oci/descriptor.js';
import type { PutOptions } from './target.js';

/** Passes bytes on; at their end, `result` says what they were. */
export class DigestTee {
  readonly #hash = createHash('sha256');
  readonly #due: PutOptions;
  #size = 0;
  #digest: string | undefined;

  constructor(due: PutOptions = {}) {
    this.#due = due;
  }

  async *pass(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const { signal } = this.#due;
    for await (const piece of bytes) {
      signal?.throwIfAborted();
      this.#hash.update(piece);
      this.#size += piece.length;
      yield piece;
    }
    const hex = this.#hash.digest('hex');
    this.#digest = `sha256:${hex}`;
    const { digest, size } = this.#due;
    if (
      digest !== undefined &&
      parseDigest(digest).algorithm === 'sha256' &&
      digest !== this.#digest
    ) {
      throw new RafsError('MISMATCH', `expected digest ${digest}, got ${this.#digest}`);
    }
    if (size !== undefined && size !== this.#size) {
      throw new RafsError('MISMATCH', `expected ${size} bytes, got ${this.#size}`, {
        digest: this.#digest,
      });
    }
  }

  get result(): { digest: string; size: number } {
    if (this.#digest === undefined) throw new Error('the bytes have not ended');
    return { digest: this.#digest, size: this.#size };
  }
}
