/**
 * The bytes of a blob, or of a part of it. A connection that breaks is replaced by one that goes on
 * where it was. The digest of a whole blob is compared before the stream ends.
 *
 * holds what the connection has brought and nobody has read: about 64 KiB
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { located, RafsError } from '../../lib/errors.js';
import { parseDigest } from '../../lib/oci/descriptor.js';
import { headerOf, TransientError } from '../http/answer.js';
import { discard, type HttpStream } from '../http/client.js';
import { waitAfter } from '../http/retry.js';
import { pullScope } from './client.js';
import type { Repository } from './manifests.js';

export interface BlobRequest {
  digest: string;
  /** of the whole blob, where it is known */
  size?: number;
  offset?: number;
  /** up to the end if it is not given */
  length?: number;
  signal?: AbortSignal;
}

/** Bytes after which a connection counts as one that works. */
const PROGRESS = 0x4_0000;

/** A stream of the bytes; the first request has been answered when it resolves. */
export const openBlob = async (repository: Repository, request: BlobRequest): Promise<Readable> => {
  const stop = new AbortController();
  const { signal } = request;
  const abort = (): void => stop.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  const download = new Download(repository, request, stop.signal);
  const done = (): void => signal?.removeEventListener('abort', abort);
  try {
    await download.start();
  } catch (error) {
    done();
    throw error;
  }
  return new BlobStream(download.bytes(), stop, done);
};

/** Reads when it is asked to, and gives up its connection at once when it is destroyed. */
class BlobStream extends Readable {
  readonly #bytes: AsyncGenerator<Buffer, void>;
  readonly #stop: AbortController;
  readonly #done: () => void;

  constructor(bytes: AsyncGenerator<Buffer, void>, stop: AbortController, done: () => void) {
    super({ highWaterMark: 0x10000 });
    this.#bytes = bytes;
    this.#stop = stop;
    this.#done = done;
  }

  override _read(): void {
    this.#bytes.next().then(
      ({ done, value }) => this.push(done ? null : value),
      (error: unknown) => this.destroy(error as Error), // whatever the generator throws
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#done();
    this.#stop.abort();
    this.#bytes.return().then(
      () => callback(error),
      () => callback(error),
    );
  }
}

class Download {
  readonly #repository: Repository;
  readonly #request: BlobRequest;
  readonly #signal: AbortSignal;
  readonly #from: number;
  #at: number;
  /** where the bytes end, if that is known */
  #end: number | undefined;
  #answer: HttpStream | undefined;

  constructor(repository: Repository, request: BlobRequest, signal: AbortSignal) {
    const { size, offset = 0, length } = request;
    this.#repository = repository;
    this.#request = request;
    this.#signal = signal;
    this.#from = this.#at = offset;
    this.#end = length === undefined ? size : offset + length;
    parseDigest(request.digest);
    if (size !== undefined && this.#end !== undefined && !(offset >= 0 && this.#end <= size)) {
      const text = `${this.#end - offset} bytes at ${offset} of ${size}`;
      throw new RafsError('CORRUPT', text, { blob: request.digest });
    }
  }

  async start(): Promise<void> {
    if (this.#at !== this.#end) this.#answer = await this.#open();
  }

  async *bytes(): AsyncGenerator<Buffer, void> {
    const { digest, size, length } = this.#request;
    const { pauses } = this.#repository.registry;
    const isWhole = this.#from === 0 && length === undefined;
    const { algorithm, hex } = parseDigest(digest);
    const hash = isWhole ? createHash(algorithm) : undefined;
    try {
      for (let failures = 0, since = this.#at; this.#at !== this.#end;) {
        try {
          this.#answer ??= await this.#open();
          for await (const piece of this.#answer.body as AsyncIterable<Buffer>) {
            this.#at += piece.length;
            if (this.#end !== undefined && this.#at > this.#end) {
              throw this.#mismatch(`expected ${this.#end - this.#from} bytes, got more`);
            }
            hash?.update(piece);
            yield piece;
          }
          // the end of an answer is the end of its body, as HTTP has it
          this.#end ??= this.#at;
          if (this.#at < this.#end) throw this.#broken();
        } catch (error) {
          this.#signal.throwIfAborted();
          if (error instanceof RafsError && !(error instanceof TransientError)) throw error;
          const broken = error instanceof TransientError ? error : this.#broken(error);
          if (this.#at - since >= PROGRESS) failures = 0;
          since = this.#at;
          const pause = pauses[failures++];
          if (pause === undefined) throw broken;
          await waitAfter(broken, pause, this.#signal);
        } finally {
          this.#answer?.body.destroy();
          this.#answer = undefined;
        }
      }
      if (isWhole && size !== undefined && this.#at !== size) {
        throw this.#mismatch(`expected ${size} bytes, got ${this.#at}`);
      }
      const found = hash?.digest('hex');
      if (found !== undefined && found !== hex) {
        throw this.#mismatch(`expected digest ${digest}, got ${algorithm}:${found}`);
      }
    } catch (error) {
      throw located(error, this.#place());
    }
  }

  #place(): { registry: string; repository: string; blob: string } {
    const { registry, name } = this.#repository;
    return { registry: registry.host, repository: name, blob: this.#request.digest };
  }

  #mismatch(text: string): RafsError {
    return new RafsError('MISMATCH', text);
  }

  #broken(cause?: unknown): TransientError {
    const of = this.#end === undefined ? '' : ` of ${this.#end - this.#from}`;
    const text = `the connection broke after ${this.#at - this.#from}${of} bytes`;
    return new TransientError(text, {}, { cause });
  }

  /** An answer that begins with the next byte. */
  async #open(): Promise<HttpStream> {
    const { registry, name } = this.#repository;
    const { length, digest } = this.#request;
    const isPart = this.#at > 0 || length !== undefined;
    const last = this.#end === undefined ? '' : this.#end - 1;
    const answer = await registry.open({
      method: 'GET',
      repository: name,
      path: `blobs/${digest}`,
      scopes: [pullScope(name)],
      headers: isPart ? { range: `bytes=${this.#at}-${last}` } : {},
      signal: this.#signal,
    });
    try {
      return await this.#checked(answer, isPart);
    } catch (error) {
      answer.body.on('error', () => undefined).destroy();
      throw error;
    }
  }

  async #checked(answer: HttpStream, isPart: boolean): Promise<HttpStream> {
    const { status, url } = answer;
    if (status === 206) {
      const range = headerOf(answer, 'content-range') ?? '';
      const got = /^bytes ([0-9]+)-/.exec(range)?.[1];
      if (got !== undefined && Number(got) !== this.#at) {
        throw new TransientError(`expected bytes at ${this.#at}, got ${got}`, { url });
      }
      return answer;
    }
    if (status !== 200) {
      await discard(answer.body);
      throw new RafsError('BACKEND', `expected a blob, got status ${status}`, { url });
    }
    if (!isPart) {
      const told = Number(headerOf(answer, 'content-length') ?? NaN);
      const { size } = this.#request;
      if (size !== undefined && Number.isSafeInteger(told) && told !== size) {
        throw this.#mismatch(`expected ${size} bytes, got ${told}`);
      }
      return answer;
    }
    // the server ignored the range: what was read before is read again
    return { ...answer, body: Readable.from(slice(answer.body, this.#at, this.#end)) };
  }
}

async function* slice(
  body: Readable,
  from: number,
  to: number | undefined,
): AsyncGenerator<Buffer, void> {
  let at = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    const start = Math.max(0, from - at);
    const end = to === undefined ? piece.length : Math.min(piece.length, to - at);
    at += piece.length;
    if (end > start) yield piece.subarray(start, end);
    if (to !== undefined && at >= to) return;
  }
}
