/**
 * Work from bytes to bytes as one stream, with a result at its end.
 *
 * takes and makes bytes, unlike a stage
 * holds one write that is not taken yet and one read that is not wanted yet, besides what the work
 *   holds
 */
import { Duplex, Writable, type Readable } from 'node:stream';
import { located } from '../../lib/errors.js';

/** What a stream gives besides its bytes. */
export interface Resulting<R> {
  /**
   * Fulfilled when everything has been read and written; the event `result` comes at the same time.
   * Rejected as the stream fails; nobody has to listen to both.
   */
  readonly result: Promise<R>;
  on(event: 'result', listener: (result: R) => void): this;
  once(event: 'result', listener: (result: R) => void): this;
}

/** A stream that bytes are written to and other bytes are read from. */
export type ByteDuplex<R> = Duplex & Resulting<R>;
/** A stream that bytes are read from. */
export type ByteReadable<R> = Readable & Resulting<R>;

/** What is done with the bytes that are written; the signal ends it. */
export type ByteWork<R> = (ends: {
  input: AsyncIterable<Buffer>;
  output: Writable;
  signal: AbortSignal;
}) => Promise<R>;

/** Does the work between its two ends. Once closed, it holds no file, thread or memory. */
class ByteStream<R> extends Duplex {
  readonly result: Promise<R>;
  readonly #stop = new AbortController();
  readonly #settled: Promise<unknown>;
  #written: { bytes: Buffer; taken: (error?: Error | null) => void } | undefined;
  #ended = false;
  #arrived: (() => void) | undefined;
  #wanted: (() => void) | undefined;

  constructor(
    work: ByteWork<R>,
    { writable, signal }: { writable: boolean; signal?: AbortSignal },
  ) {
    super();
    const output = new Writable({
      write: (bytes: Buffer, _encoding, done) => {
        if (this.push(bytes)) done();
        else this.#wanted = done;
      },
    });
    this.result = work({ input: this.#input(), output, signal: this.#stop.signal });
    this.#settled = this.result.then(
      result => {
        this.emit('result', result);
        this.push(null);
      },
      (error: unknown) => void this.destroy(located(error, {})),
    );
    if (!writable) this.end();
    const abort = (): void => void this.destroy(abortError(signal?.reason));
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    this.once('close', () => signal?.removeEventListener('abort', abort));
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, taken: () => void): void {
    this.#written = { bytes, taken };
    this.#arrived?.();
  }

  override _final(done: () => void): void {
    this.#ended = true;
    this.#arrived?.();
    done();
  }

  override _read(): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    wanted?.();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stop.abort(error ?? abortError());
    this.#arrived?.();
    this._read();
    void this.#settled.then(() => done(error));
  }

  async *#input(): AsyncGenerator<Buffer, void> {
    for (;;) {
      this.#stop.signal.throwIfAborted();
      const written = this.#written;
      if (written) {
        this.#written = undefined;
        written.taken();
        yield written.bytes;
      } else if (this.#ended) return;
      else await new Promise<void>(resolve => (this.#arrived = resolve));
    }
  }
}

/** What work that was given up fails with; its name and code are those of Node's own. */
const abortError = (cause?: unknown): Error =>
  Object.assign(new Error('The operation was aborted', { cause }), {
    name: 'AbortError',
    code: 'ABORT_ERR',
  });

/** A Duplex that does the work with what is written to it. */
export const byteDuplex = <R>(work: ByteWork<R>, signal: AbortSignal | undefined): ByteDuplex<R> =>
  new ByteStream(work, { writable: true, ...(signal ? { signal } : {}) });

/** A Readable of what the work makes. */
export const byteReadable = <R>(
  work: ByteWork<R>,
  signal: AbortSignal | undefined,
): ByteReadable<R> => new ByteStream(work, { writable: false, ...(signal ? { signal } : {}) });
