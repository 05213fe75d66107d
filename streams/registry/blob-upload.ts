/**
 * A blob on its way into a repository while it is being made: `POST`, a `PATCH` for each chunk,
 * `PUT ?digest=`. A blob of one chunk goes with the `PUT`.
 *
 * A chunk is kept until the registry has it, and sent again if its connection breaks. If the
 * registry cannot go on within it, the upload begins anew where that is possible.
 *
 * holds two chunks: one that is sent, one that fills
 */
import { createHash } from 'node:crypto';
import { located, RafsError } from '../../lib/errors.js';
import { parseDigest } from '../../lib/oci/descriptor.js';
import { headerOf, TransientError, type HttpAnswer, type HttpHead } from '../http/answer.js';
import { waitAfter } from '../http/retry.js';
import { pushScope, type RegistryRequest } from './client.js';
import type { Repository } from './manifests.js';

export interface UploadOptions {
  /** what the bytes must have; a blob that differs is not stored */
  digest?: string;
  size?: number;
  /** the same bytes once more, if they can be had */
  again?: () => AsyncIterable<Buffer>;
  chunkSize?: number;
  signal: AbortSignal;
}

const CHUNK_SIZE = 0x80_0000;
const BLOCK_SIZE = 0x4_0000;
/** A registry may ask for larger chunks than ours, but not for any size of them. */
const MOST_CHUNK = 0x400_0000;
/** How often an upload begins anew. */
const MOST_RESTARTS = 3;
/** Most bytes of an answer; none is needed. */
const ANSWER = 0x10000;
const CANCEL_MS = 5_000;
const CONTENT = { 'content-type': 'application/octet-stream' };

/** The upload cannot go on: the registry has lost what it had. */
class UploadLostError extends TransientError {}

export const uploadBlob = async (
  repository: Repository,
  bytes: AsyncIterable<Buffer>,
  options: UploadOptions,
): Promise<{ digest: string; size: number }> => {
  const { again, digest } = options;
  try {
    for (let restarts = 0, from = bytes; ; restarts++) {
      try {
        return await new Upload(repository, options).run(from);
      } catch (error) {
        if (!(error instanceof UploadLostError) || !again || restarts === MOST_RESTARTS)
          throw error;
        from = again();
      }
    }
  } catch (error) {
    const { registry, name } = repository;
    const place = { registry: registry.host, repository: name };
    throw located(error, digest === undefined ? place : { ...place, blob: digest });
  }
};

/** Bytes of the blob that are held: those that come next. */
class Chunk {
  readonly offset: number;
  size = 0;
  readonly #blocks: Buffer[] = [];
  #left = 0; // bytes of the last block that are free

  constructor(offset: number) {
    this.offset = offset;
  }

  get end(): number {
    return this.offset + this.size;
  }

  /** Copies the bytes: whoever made them may use their memory again. */
  add(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#left === 0) {
        this.#blocks.push(Buffer.allocUnsafeSlow(BLOCK_SIZE));
        this.#left = BLOCK_SIZE;
      }
      const copied = bytes.copy(this.#blocks.at(-1)!, BLOCK_SIZE - this.#left, at);
      this.#left -= copied;
      this.size += copied;
      at += copied;
    }
  }

  /** What follows an offset of the blob. */
  from(offset: number): Buffer[] {
    const skipped = offset - this.offset;
    return this.#blocks
      .map((block, i) =>
        block.subarray(
          Math.max(0, skipped - i * BLOCK_SIZE),
          Math.min(BLOCK_SIZE, this.size - i * BLOCK_SIZE),
        ),
      )
      .filter(({ length }) => length > 0);
  }
}

class Upload {
  readonly #repository: Repository;
  readonly #options: UploadOptions;
  #session: URL | undefined;
  #chunkSize: number;

  constructor(repository: Repository, options: UploadOptions) {
    this.#repository = repository;
    this.#options = options;
    this.#chunkSize = options.chunkSize ?? CHUNK_SIZE;
  }

  async run(bytes: AsyncIterable<Buffer>): Promise<{ digest: string; size: number }> {
    const { digest: due, size: dueSize } = this.#options;
    const { algorithm } = due === undefined ? { algorithm: 'sha256' } : parseDigest(due);
    const hash = createHash(algorithm);
    let chunk = new Chunk(0);
    let sending: Promise<void> = Promise.resolve();
    try {
      await this.#start();
      for await (const piece of bytes) {
        this.#options.signal.throwIfAborted();
        hash.update(piece);
        for (let at = 0; at < piece.length;) {
          // full, and not the last: that one goes with the PUT if it is the only one
          if (chunk.size >= this.#chunkSize) {
            await sending;
            sending = this.#send(chunk);
            sending.catch(() => undefined); // seen where it is awaited
            chunk = new Chunk(chunk.end);
          }
          const part = piece.subarray(at, at + this.#chunkSize - chunk.size);
          chunk.add(part);
          at += part.length;
        }
      }
      await sending;
      const digest = `${algorithm}:${hash.digest('hex')}`;
      const size = chunk.end;
      if (dueSize !== undefined && size !== dueSize) {
        throw new RafsError('MISMATCH', `the blob has ${size} bytes, expected ${dueSize}`);
      }
      if (due !== undefined && digest !== due) {
        throw new RafsError('MISMATCH', `the blob has digest ${digest}, expected ${due}`);
      }
      await this.#finish(chunk, digest);
      return { digest, size };
    } catch (error) {
      await sending.catch(() => undefined);
      await this.#cancel();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const answer = await this.#ask({ method: 'POST', path: 'blobs/uploads/' });
    this.#moveTo(answer);
    const least = Number(headerOf(answer, 'oci-chunk-min-length') ?? 0);
    if (least > MOST_CHUNK) {
      throw new RafsError('LIMIT', `the registry wants chunks of at least ${least} bytes`);
    }
    if (least > this.#chunkSize) this.#chunkSize = least;
  }

  /** Sends a chunk until the registry has all of it. */
  async #send(chunk: Chunk): Promise<void> {
    const { pauses } = this.#repository.registry;
    const { signal } = this.#options;
    for (let at = chunk.offset, failures = 0; at < chunk.end;) {
      const headers = { ...CONTENT, 'content-range': `${at}-${chunk.end - 1}` };
      const body = chunk.from(at);
      try {
        const answer = await this.#once({ method: 'PATCH', path: this.#session!, headers, body });
        this.#moveTo(answer);
        at = chunk.end;
      } catch (error) {
        signal.throwIfAborted();
        const pause = pauses[failures++];
        const passing = error instanceof TransientError;
        if (pause === undefined || !(passing || isOutOfStep(error))) throw error;
        if (passing) await waitAfter(error, pause, signal);
        at = await this.#offset(chunk, error);
      }
    }
  }

  /** Where to go on after a failure: a place within what is held. */
  async #offset(chunk: Chunk, cause: unknown): Promise<number> {
    let at: number | undefined;
    try {
      const answer = await this.#ask({ method: 'GET', path: this.#session! });
      this.#moveTo(answer);
      at = offsetIn(answer);
    } catch (error) {
      if (error instanceof TransientError) throw error;
    }
    if (at !== undefined && at >= chunk.offset && at <= chunk.end) return at;
    if (chunk.offset === 0) {
      await this.#cancel();
      await this.#start();
      return 0;
    }
    const text = `the upload broke off at byte ${chunk.offset}, and the registry cannot continue it`;
    throw new UploadLostError(text, {}, { cause });
  }

  async #finish(chunk: Chunk, digest: string): Promise<void> {
    const { registry } = this.#repository;
    const isOnly = chunk.offset === 0;
    if (!isOnly && chunk.size > 0) await this.#send(chunk);
    const { signal } = this.#options;
    for (let failures = 0; ; failures++) {
      const url = new URL(this.#session!);
      url.searchParams.set('digest', digest);
      try {
        const answer = await this.#once({
          method: 'PUT',
          path: url,
          headers: CONTENT,
          body: isOnly ? chunk.from(0) : [],
        });
        const stored = headerOf(answer, 'docker-content-digest') ?? digest;
        if (stored === digest) return;
        throw new RafsError('MISMATCH', `the registry stored ${stored}, expected ${digest}`);
      } catch (error) {
        signal.throwIfAborted();
        const pause = registry.pauses[failures];
        const passing = error instanceof TransientError;
        if (pause === undefined || !(passing || isOutOfStep(error))) throw error;
        if (passing) await waitAfter(error, pause, signal);
        // its answer may be all that was lost
        if ((await headBlob(this.#repository, digest, signal)) !== undefined) {
          await this.#cancel(); // nothing is left to cancel if it was this upload
          return;
        }
        if (!isOnly && passing) continue;
        if (!isOnly) {
          const text = `the registry lost the upload at its end, byte ${chunk.end}`;
          throw new UploadLostError(text, {}, { cause: error });
        }
        await this.#cancel();
        await this.#start();
      }
    }
  }

  /** The upload goes on at the address that the registry gave last. */
  #moveTo(answer: HttpHead): void {
    const location = headerOf(answer, 'location');
    const base = new URL(answer.url);
    if (location === undefined) {
      if (this.#session) return;
      throw new RafsError('BACKEND', 'the registry sent no upload location', {
        url: answer.url,
      });
    }
    const url = URL.canParse(location, base.href) ? new URL(location, base) : undefined;
    if (!url || !/^https?:$/.test(url.protocol)) {
      throw new RafsError('BACKEND', 'the registry sent an invalid upload location', {
        url: answer.url,
      });
    }
    // a registry behind a server that speaks TLS for it may not know that it does
    if (base.protocol === 'https:' && url.hostname === base.hostname && url.protocol === 'http:') {
      url.protocol = 'https:';
      url.port = base.port;
    }
    if (base.protocol === 'https:' && url.protocol === 'http:') {
      throw new RafsError('BACKEND', 'the registry redirects an upload from https to http', {
        url: answer.url,
      });
    }
    this.#session = url;
  }

  #request(
    request: Pick<RegistryRequest, 'method' | 'path' | 'headers' | 'body'>,
  ): RegistryRequest & { limit: number } {
    const { name } = this.#repository;
    const { signal } = this.#options;
    return { ...request, repository: name, scopes: [pushScope(name)], limit: ANSWER, signal };
  }

  #ask(request: Pick<RegistryRequest, 'method' | 'path'>): Promise<HttpAnswer> {
    return this.#repository.registry.ask(this.#request(request));
  }

  /** One attempt: whether another helps depends on what the registry has of it. */
  #once(
    request: Pick<RegistryRequest, 'method' | 'path' | 'headers' | 'body'>,
  ): Promise<HttpAnswer> {
    return this.#repository.registry.askOnce(this.#request(request));
  }

  /** Lets the registry drop what it has; it does so itself after a while. */
  async #cancel(): Promise<void> {
    const { registry, name } = this.#repository;
    if (this.#session) await cancelUpload(registry, name, this.#session);
  }
}

/** Best effort, within a short time, whether or not others have been aborted. */
export const cancelUpload = async (
  registry: Repository['registry'],
  name: string,
  session: URL,
): Promise<void> => {
  const request = {
    method: 'DELETE',
    repository: name,
    path: session,
    scopes: [pushScope(name)],
    limit: ANSWER,
    signal: AbortSignal.timeout(CANCEL_MS),
  } as const;
  await registry.askOnce(request).catch(() => undefined);
};

/** The registry has another part of the blob than we think, or nothing any more. */
const isOutOfStep = (error: unknown): boolean =>
  error instanceof RafsError && [404, 416].includes(Number(error.at.status));

/** How many bytes the registry has; `0-0` is also what some say of nothing. */
const offsetIn = (answer: HttpAnswer): number => {
  const last = Number(/^(?:bytes=)?0-([0-9]+)$/.exec(headerOf(answer, 'range') ?? '')?.[1] ?? 0);
  return last === 0 ? 0 : last + 1;
};

/** The size of a blob; undefined if the repository does not have it. */
export const headBlob = async (
  { registry, name }: Repository,
  digest: string,
  signal: AbortSignal,
): Promise<number | undefined> => {
  parseDigest(digest);
  const answer = await registry.ask({
    method: 'HEAD',
    repository: name,
    path: `blobs/${digest}`,
    scopes: [pushScope(name)],
    limit: 0,
    accept: [404],
    signal,
  });
  if (answer.status === 404) return undefined;
  const size = Number(headerOf(answer, 'content-length') ?? NaN);
  return Number.isSafeInteger(size) ? size : 0;
};
