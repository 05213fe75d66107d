/**
 * layer-sink: the end of a layer's build: passes the blob on to a target while it is made, and
 * keeps what the image needs besides.
 *
 * takes section, finish and image
 * holds one batch, the bootstrap and the blob meta
 */
import { Writable } from 'node:stream';
import type { ArtifactPart } from '../build/artifact-writer.js';
import type { Batch } from '../batch.js';

/** Whoever takes the blob takes no more of it, and says why. */
export class BlobUnreadError extends Error {
  constructor() {
    super('the blob of a layer was not taken to its end');
  }
}

export class LayerSink extends Writable {
  /** the layer's own bootstrap */
  readonly bootstrap: Buffer[] = [];
  /** its chunk table as nydusd caches it */
  readonly meta: Buffer[] = [];
  /** what the blob ends with: in a blob that has one, its table of contents */
  last: Buffer | undefined;
  #blobSize = 0;
  #queue: Buffer[] = [];
  #taken: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #ended = false;
  #failure: Error | undefined;

  constructor() {
    super({ objectMode: true, highWaterMark: 2 });
  }

  /** Bytes of the blob so far. */
  get blobSize(): number {
    return this.#blobSize;
  }

  /** The bytes of the blob. Fails if the build does. */
  async *blob(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        for (let next = this.#queue.shift(); next; next = this.#queue.shift()) yield next;
        const taken = this.#taken;
        this.#taken = undefined;
        taken?.();
        if (this.#failure) throw this.#failure;
        if (this.#queue.length > 0) continue;
        if (this.#ended) return;
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
      }
    } finally {
      // whoever reads it has enough: nothing more is made
      if (!this.#ended) this.destroy(new BlobUnreadError());
    }
  }

  override _write(
    batch: Batch<ArtifactPart>,
    _encoding: BufferEncoding,
    done: (error?: Error) => void,
  ): void {
    let waits = false;
    for (const part of batch) {
      if (part.kind !== 'section') continue;
      if (part.artifact === 'bootstrap') this.bootstrap.push(part.bytes);
      else if (part.artifact === 'cache-meta') this.meta.push(part.bytes);
      else if (part.artifact === 'blob' && part.bytes.length > 0) {
        this.#queue.push(part.bytes);
        this.#blobSize += part.bytes.length;
        this.last = part.bytes;
        waits = true;
      }
    }
    if (!waits) {
      done();
      return;
    }
    this.#taken = done;
    this.#wake?.();
  }

  override _final(done: (error?: Error) => void): void {
    this.#ended = true;
    this.#wake?.();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#ended) {
      this.#failure = error ?? new Error('the build of a layer was given up');
      this.#queue = [];
    }
    this.#wake?.();
    done(error);
  }
}
