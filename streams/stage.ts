/**
 * The Transform under every stage.
 *
 * Streams between stages carry batches: arrays of parts. A stream costs about a microsecond per
 * object whatever the object is, and a layer has several parts per file, so parts travel together.
 * Handlers see single parts; only this file knows about batches.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { located } from '../lib/errors.js';
import { type Batch, weight, BATCH_PARTS, BATCH_BYTES } from './batch.js';

/** Passes a part on. */
export type Push<Out> = (part: Out) => void;

/**
 * What a stage does, free of stream machinery: one part in, any number of parts out.
 *
 * What is pushed is held until the whole batch has been seen: for stages that make about as many
 * parts as they take, and no bytes except views. Larger output is returned, by a generator say, and
 * pulled when there is room; that costs five times as much a part.
 */
export interface Handlers<In, Out> {
  transform(part: In, push: Push<Out>): Iterable<Out> | void;
  /** called once, after the last part */
  flush?(): Iterable<Out> | AsyncIterable<Out> | void;
  /** called when the stage is destroyed, whether it succeeded or not: release what it holds */
  destroy?(): void;
}

/** The same for a whole batch, for work that is asynchronous by nature. */
export interface BatchHandlers<In, Out> {
  transformBatch(parts: readonly In[], push: Push<Out>): AsyncIterable<Out> | Promise<void>;
  flush?(): Iterable<Out> | AsyncIterable<Out> | void;
  destroy?(): void;
}

/** A Transform that pulls from its handlers only while its reader has room. */
export class Stage<In, Out> extends Transform {
  readonly stage: string;
  #handlers: Handlers<In, Out> | BatchHandlers<In, Out>;
  #resume: (() => void) | undefined;
  #made: Out[] = [];
  #bytes = 0;

  constructor(
    stage: string,
    handlers: Handlers<In, Out> | BatchHandlers<In, Out>,
    highWaterMark = 1,
  ) {
    super({ objectMode: true, highWaterMark });
    this.stage = stage;
    this.#handlers = handlers;
  }

  // _write, not _transform: after its last push a Transform waits for one more read, and that read
  // may already have come and gone while a paused handler was being resumed.
  override _write(batch: Batch<In>, _encoding: BufferEncoding, done: TransformCallback): void {
    if ('transformBatch' in this.#handlers) this.#transformBatch(this.#handlers, batch, done);
    else this.#transform(this.#handlers, batch, done);
  }

  override _flush(done: TransformCallback): void {
    const fail = this.#failing(done);
    try {
      const made = this.#handlers.flush?.();
      if (!made) done();
      else if (Symbol.iterator in made) this.#pull(made[Symbol.iterator](), done, fail);
      else this.#pullAsync(made).then(() => done(), fail);
    } catch (error) {
      fail(error);
    }
  }

  override _read(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this._read();
    try {
      this.#handlers.destroy?.();
    } catch (failure) {
      done(error ?? located(failure, { stage: this.stage }));
      return;
    }
    done(error);
  }

  readonly #push = (part: Out): void => void this.#made.push(part);

  #failing(done: TransformCallback): (error: unknown) => void {
    return error => done(located(error, { stage: this.stage }));
  }

  #transform(handlers: Handlers<In, Out>, batch: Batch<In>, done: TransformCallback): void {
    try {
      for (let i = 0; i < batch.length; i++) {
        const more = handlers.transform(batch[i]!, this.#push);
        if (!more) continue;
        const made = rest(part => handlers.transform(part, this.#push), batch, i + 1, more);
        this.#pull(made[Symbol.iterator](), done, this.#failing(done));
        return;
      }
      this.#settle(done);
    } catch (error) {
      this.#failing(done)(error);
    }
  }

  #transformBatch(
    handlers: BatchHandlers<In, Out>,
    batch: Batch<In>,
    done: TransformCallback,
  ): void {
    const fail = this.#failing(done);
    try {
      const made = handlers.transformBatch(batch, this.#push);
      if (Symbol.asyncIterator in made) this.#pullAsync(made).then(() => done(), fail);
      else made.then(() => this.#settle(done), fail);
    } catch (error) {
      fail(error);
    }
  }

  /** Ends the work on a batch: passes on what was made, and goes on when there is room for more. */
  #settle(done: TransformCallback): void {
    if (this.destroyed || this.#flushBatch()) done();
    else this.#resume = done;
  }

  #pull(made: Iterator<Out>, done: () => void, fail: (error: unknown) => void): void {
    try {
      while (!this.destroyed) {
        const next = made.next();
        if (next.done) {
          this.#settle(done);
          return;
        }
        if (this.#add(next.value)) continue;
        this.#resume = () => this.#pull(made, done, fail);
        return;
      }
      made.return?.();
      done();
    } catch (error) {
      fail(error);
    }
  }

  async #pullAsync(made: AsyncIterable<Out>): Promise<void> {
    for await (const part of made) {
      // once destroyed, it gets no more reads: it would wait for room forever
      if (this.destroyed) return;
      if (!this.#add(part)) await this.#room();
      if (this.destroyed) return;
    }
    if (!this.destroyed && !this.#flushBatch()) await this.#room();
  }

  #room(): Promise<void> {
    return new Promise(resolve => {
      this.#resume = resolve;
    });
  }

  /** Adds a part to the current batch; false when the reader has no room for more. */
  #add(part: Out): boolean {
    this.#made.push(part);
    this.#bytes += weight(part);
    if (this.#made.length < BATCH_PARTS && this.#bytes < BATCH_BYTES) return true;
    return this.#flushBatch();
  }

  #flushBatch(): boolean {
    if (this.#made.length === 0) return true;
    const batch = this.#made;
    this.#made = [];
    this.#bytes = 0;
    return this.push(batch);
  }
}

/** The output for one part, then what `make` makes of those from `from` on. */
function* rest<In, Out>(
  make: (part: In) => Iterable<Out> | void,
  batch: Batch<In>,
  from: number,
  first: Iterable<Out>,
): Iterable<Out> {
  yield* first;
  for (let i = from; i < batch.length; i++) {
    const made = make(batch[i]!);
    if (made) yield* made;
  }
}
