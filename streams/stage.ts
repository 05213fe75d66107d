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

type Made<Out> = Iterable<Out> | AsyncIterable<Out> | void;

/** What a stage does, free of stream machinery: one part in, any number of parts out. */
export interface Handlers<In, Out> {
  part(part: In): Made<Out>;
  /** called once, after the last part */
  end?(): Made<Out>;
  /** called when the stage is destroyed, whether it succeeded or not: release what it holds */
  close?(): void;
}

/** Instead of `part`: handlers that take a whole batch, for work that is asynchronous by nature. */
export interface BatchHandlers<In, Out> {
  batch(parts: readonly In[]): Made<Out>;
  end?(): Made<Out>;
  close?(): void;
}

/**
 * Instead of `part`: a handler that is given a function to pass parts on. Per part it costs a fifth
 * of a generator, but what it makes of a batch is held until it has seen the whole batch: for
 * stages that make about as many parts as they take, and no bytes except views.
 */
export interface PushHandlers<In, Out> {
  /** Much larger output is returned, and pulled when there is room; it may push, too. */
  each(part: In, push: Push<Out>): void | Iterable<Out>;
  end?(): Made<Out>;
  close?(): void;
}

/** The same for a whole batch, and for work that is asynchronous by nature. */
export interface PushBatchHandlers<In, Out> {
  all(parts: readonly In[], push: Push<Out>): Promise<void>;
  end?(): Made<Out>;
  close?(): void;
}

/** Passes a part on. */
export type Push<Out> = (part: Out) => void;

type AnyHandlers<In, Out> =
  Handlers<In, Out> | BatchHandlers<In, Out> | PushHandlers<In, Out> | PushBatchHandlers<In, Out>;

/** A Transform that pulls from its handlers only while its reader has room. */
export class Stage<In, Out> extends Transform {
  readonly stage: string;
  #handlers: AnyHandlers<In, Out>;
  #resume: (() => void) | undefined;
  #made: Out[] = [];
  #bytes = 0;

  constructor(stage: string, handlers: AnyHandlers<In, Out>, highWaterMark = 1) {
    super({ objectMode: true, highWaterMark });
    this.stage = stage;
    this.#handlers = handlers;
  }

  // _write, not _transform: after its last push a Transform waits for one more read, and that read
  // may already have come and gone while a paused handler was being resumed.
  override _write(batch: Batch<In>, _encoding: BufferEncoding, done: TransformCallback): void {
    const handlers = this.#handlers;
    if ('each' in handlers) {
      this.#each(handlers, batch, done);
      return;
    }
    if ('all' in handlers) {
      handlers.all(batch, this.#push).then(() => this.#settle(done), this.#failing(done));
      return;
    }
    this.#run(() => ('batch' in handlers ? handlers.batch(batch) : each(handlers, batch)), done);
  }

  override _flush(done: TransformCallback): void {
    this.#run(() => this.#handlers.end?.(), done);
  }

  override _read(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this._read();
    try {
      this.#handlers.close?.();
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

  #each(handlers: PushHandlers<In, Out>, batch: Batch<In>, done: TransformCallback): void {
    try {
      for (let i = 0; i < batch.length; i++) {
        const more = handlers.each(batch[i]!, this.#push);
        if (!more) continue;
        const made = rest(part => handlers.each(part, this.#push), batch, i + 1, more);
        this.#pull(made[Symbol.iterator](), done, this.#failing(done));
        return;
      }
      this.#settle(done);
    } catch (error) {
      this.#failing(done)(error);
    }
  }

  /** Ends the work on a batch: passes on what was made, and goes on when there is room for more. */
  #settle(done: TransformCallback): void {
    if (this.destroyed || this.#flushBatch()) done();
    else this.#resume = done;
  }

  #run(make: () => Made<Out>, done: TransformCallback): void {
    const fail = this.#failing(done);
    try {
      const made = make();
      if (!made) done();
      else if (Symbol.iterator in made) this.#pull(made[Symbol.iterator](), done, fail);
      else this.#pullAsync(made).then(() => done(), fail);
    } catch (error) {
      fail(error);
    }
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

/** Runs `part` over a batch; stays synchronous unless a handler is not. */
const each = <In, Out>(handlers: Handlers<In, Out>, batch: Batch<In>): Made<Out> => {
  for (let i = 0; i < batch.length; i++) {
    const made = handlers.part(batch[i]!);
    if (!made) continue;
    // a handler is either synchronous or asynchronous throughout
    return Symbol.iterator in made
      ? rest(part => handlers.part(part) as Iterable<Out> | void, batch, i + 1, made)
      : restAsync(handlers, batch, i + 1, made);
  }
};

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

async function* restAsync<In, Out>(
  handlers: Handlers<In, Out>,
  batch: Batch<In>,
  from: number,
  first: AsyncIterable<Out>,
): AsyncIterable<Out> {
  yield* first;
  for (let i = from; i < batch.length; i++) {
    const made = handlers.part(batch[i]!) as AsyncIterable<Out> | void;
    if (made) yield* made;
  }
}
