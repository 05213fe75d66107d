/**
 * Blobs on a server, read in ranges, with a cache and read-ahead.
 *
 * A storage caches 16 MiB for all of its blobs. In addition, each blob being read holds what is
 * being fetched: at most 4 MiB for each reader, and 4 MiB ahead.
 */
import { allocate, copyOf } from '../../lib/memory/allocate.js';
import { byteCache, type ByteCache } from '../../lib/memory/byte-cache.js';
import { located, RafsError } from '../../lib/errors.js';
import type { ReaderAt } from '../io/reader-at.js';
import type { Storage } from './storage.js';
import {
  headerOf,
  isPassing,
  retryAfterOf,
  statusText,
  TransientError,
  type HttpAnswer,
} from '../http/answer.js';
import { PAUSES, retrying } from '../http/retry.js';

export interface BlobRequest {
  method: 'HEAD' | 'GET';
  /** latin1 */
  id: string;
  /** value of the Range header */
  range?: string;
  limit: number;
  signal: AbortSignal;
}

/** How a kind of storage requests a blob; makes one attempt. */
export type Ask = (request: BlobRequest) => Promise<HttpAnswer>;

/** Bytes that are fetched and cached as a unit. */
const BLOCK = 0x4_0000;
const CACHE_SIZE = 0x100_0000;
/** Most blocks in one request. */
const MOST_BLOCKS = 16;
/** Most bytes in one read: a server may claim any size for a blob. */
const MOST_BYTES = 0x7fff_ffff;
/** Cache keys set aside for each blob: more than it can have blocks. */
const BLOCKS_OF_BLOB = 2 ** 32;

/** What has connections as long as somebody uses it. */
interface Shared {
  acquire(): void;
  release(): Promise<void>;
}

export class RemoteStorage implements Storage {
  readonly #client: Shared;
  readonly #ask: Ask;
  readonly #pauses: readonly number[];
  readonly #cache = byteCache(CACHE_SIZE);
  #opened = 0;

  /** @param pauses between tries, in milliseconds */
  constructor(client: Shared, ask: Ask, pauses = PAUSES) {
    this.#client = client;
    this.#ask = ask;
    this.#pauses = pauses;
  }

  async open(id: string): Promise<ReaderAt> {
    const stop = new AbortController();
    const { signal } = stop;
    const tried = <T>(work: () => Promise<T>): Promise<T> => retrying(work, signal, this.#pauses);
    this.#client.acquire();
    try {
      const size = await tried(() => sizeOf(this.#ask, id, signal));
      const fetch = (range: Range): Promise<Buffer> =>
        tried(() => fetchRange(this.#ask, id, range, signal));
      const close = async (): Promise<void> => {
        stop.abort();
        await this.#client.release();
      };
      const first = this.#opened++ * BLOCKS_OF_BLOB;
      return new RemoteBytes({ id, size, fetch, close, cache: this.#cache, firstKey: first });
    } catch (error) {
      await this.#client.release();
      throw located(error, { blob: id });
    }
  }
}

/** Answers to HEAD from servers that support only GET, or whose URLs are signed for GET. */
const REFUSES_HEAD: ReadonlySet<number> = new Set([400, 403, 405, 501]);

/** Asks with HEAD; if that gives no size, with a GET of one byte. */
const sizeOf = async (ask: Ask, id: string, signal: AbortSignal): Promise<number> => {
  const head = await ask({ method: 'HEAD', id, limit: 0, signal });
  const size = head.status < 300 ? numberIn(headerOf(head, 'content-length')) : undefined;
  if (size !== undefined) return size;
  if (head.status >= 300 && !REFUSES_HEAD.has(head.status)) throw refused(head);
  const answer = await ask({ method: 'GET', id, range: 'bytes=0-0', limit: 1, signal });
  const total = numberIn(/\/([0-9]+)$/.exec(headerOf(answer, 'content-range') ?? '')?.[1]);
  if (answer.status === 416 && total === 0) return 0;
  if (answer.status >= 300) throw refused(answer);
  if (total === undefined) {
    throw new RafsError('BACKEND', 'the server sent no Content-Length', { url: answer.url });
  }
  return total;
};

const numberIn = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^[0-9]+$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
};

interface Range {
  offset: number;
  size: number;
  /** accept fewer bytes, but at least one */
  orLess?: boolean;
}

/** The bytes of a range; fails if the answer does not have them. */
const fetchRange = async (
  ask: Ask,
  id: string,
  { offset, size, orLess = false }: Range,
  signal: AbortSignal,
): Promise<Buffer> => {
  const range = `bytes=${offset}-${offset + size - 1}`;
  try {
    const answer = await ask({ method: 'GET', id, range, limit: size, signal });
    const { status, body, url } = answer;
    if (status >= 300) throw refused(answer);
    const got = /^bytes ([0-9]+)-/.exec(headerOf(answer, 'content-range') ?? '')?.[1];
    if (got !== undefined && Number(got) !== offset) {
      throw new TransientError(`expected bytes at ${offset}, got ${got}`, { url });
    }
    if (body.length < (orLess ? 1 : size)) {
      throw new TransientError(`expected ${size} bytes, got ${body.length}`, { url });
    }
    return body;
  } catch (error) {
    throw located(error, { offset });
  }
};

const refused = (answer: HttpAnswer): RafsError => {
  const { status, url } = answer;
  const text = `the storage answers ${statusText(status)}`;
  return isPassing(status)
    ? new TransientError(text, { url }, { retryAfter: retryAfterOf(answer) })
    : new RafsError('BACKEND', text, { url });
};

interface RemoteBlob {
  id: string;
  size: number;
  fetch(range: Range): Promise<Buffer>;
  close(): Promise<void>;
  cache: ByteCache;
  firstKey: number;
}

/** Adjacent blocks, fetched by one request. */
interface Run {
  first: number;
  bytes: Promise<Buffer>;
}

class RemoteBytes implements ReaderAt {
  readonly size: number;
  readonly readsAhead = true;
  readonly #blob: RemoteBlob;
  readonly #loading = new Map<number, Run>();
  #end = 0; // where the last read ended
  #width = 1; // blocks in the next run
  #fetched = 0; // block after the last run requested
  #closed = false;

  constructor(blob: RemoteBlob) {
    this.#blob = blob;
    this.size = blob.size;
  }

  async read(offset: number, size: number): Promise<Buffer> {
    const end = offset + size;
    if (!(offset >= 0 && size >= 0 && end <= this.size)) {
      const text = `${size} bytes at ${offset} of ${this.size}`;
      throw new RafsError('CORRUPT', text, { blob: this.#blob.id });
    }
    if (size > MOST_BYTES) {
      throw new RafsError('LIMIT', `cannot read ${size} bytes at once`, { blob: this.#blob.id });
    }
    // sequential reads skip only small gaps between chunks
    const onward = offset >= this.#end && offset - this.#end < BLOCK;
    this.#end = end;
    if (!onward) this.#width = 1;
    const bytes = allocate(size);
    for (let at = offset; at < end;) {
      const block = Math.floor(at / BLOCK);
      const within = at - block * BLOCK;
      const lastBlock = Math.floor((end - 1) / BLOCK);
      let piece = (await this.#block(block, lastBlock)).subarray(within, within + end - at);
      if (piece.length === 0) piece = await this.#missing(at, Math.min(end, (block + 1) * BLOCK));
      at += piece.copy(bytes, at - offset);
    }
    if (onward) this.#fetchAhead(Math.floor(end / BLOCK));
    return bytes;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#blob.close();
  }

  /** Fetches what an answer lacked. */
  #missing(from: number, to: number): Promise<Buffer> {
    return this.#blob.fetch({ offset: from, size: to - from });
  }

  /** The block's bytes; only the first of them if the answer was short. */
  async #block(block: number, lastWanted: number): Promise<Buffer> {
    const kept = this.#blob.cache.get(this.#blob.firstKey + block);
    if (kept) return kept;
    let run = this.#loading.get(block);
    if (!run) {
      run = this.#start(block, Math.max(lastWanted - block + 1, this.#width));
      this.#width = Math.min(MOST_BLOCKS, this.#width * 2);
    }
    const bytes = await run.bytes;
    const at = (block - run.first) * BLOCK;
    return bytes.subarray(at, at + BLOCK);
  }

  /** Fetches the next run while the caller works on what it has read. */
  #fetchAhead(block: number): void {
    const next = this.#fetched;
    const isNear = block < next && next - block <= this.#width / 2;
    if (this.#closed || !isNear || next * BLOCK >= this.size || this.#isHere(next)) return;
    this.#start(next, this.#width);
    this.#width = Math.min(MOST_BLOCKS, this.#width * 2);
  }

  #isHere(block: number): boolean {
    const { cache, firstKey } = this.#blob;
    return this.#loading.has(block) || cache.get(firstKey + block) !== undefined;
  }

  /** Fetches up to `most` blocks, up to the end of the blob or a block that is here already. */
  #start(first: number, most: number): Run {
    const { cache, firstKey } = this.#blob;
    const blocks = Math.ceil(this.size / BLOCK);
    let end = first + 1;
    while (end < blocks && end - first < Math.min(most, MOST_BLOCKS) && !this.#isHere(end)) end++;
    this.#fetched = end;
    const offset = first * BLOCK;
    const size = Math.min(this.size, end * BLOCK) - offset;
    const load = async (): Promise<Buffer> => {
      try {
        // a server at a socket may report the size of a larger file that contains the blob
        const bytes = await this.#blob.fetch({ offset, size, orLess: true });
        for (let block = first; block < end; block++) {
          const at = (block - first) * BLOCK;
          cache.set(firstKey + block, copyOf(bytes.subarray(at, at + BLOCK)));
        }
        return bytes;
      } finally {
        for (let block = first; block < end; block++) this.#loading.delete(block);
      }
    };
    const run = { first, bytes: load() };
    run.bytes.catch(() => undefined); // its readers see the failure; there may be none
    for (let block = first; block < end; block++) this.#loading.set(block, run);
    return run;
  }
}
