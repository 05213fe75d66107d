/**
 * Writes objects into a bucket of S3 or OSS: small ones with one request, others in parts. Either
 * way an object appears when it is complete.
 *
 * holds one part
 */
import type { BucketBackend } from '../../lib/config/backends.js';
import { located, RafsError } from '../../lib/errors.js';
import {
  headerOf,
  isPassing,
  retryAfterOf,
  statusText,
  TransientError,
  type HttpAnswer,
} from '../http/answer.js';
import { HttpClient } from '../http/client.js';
import { PAUSES, retrying } from '../http/retry.js';
import type { ObjectRequest, SendObject } from './object-request.js';
import { ossRequests } from './oss.js';
import { s3Requests } from './s3.js';

const PART_SIZE = 0x100_0000;
/** Both kinds of storages allow so many. */
const MOST_PARTS = 10_000;
/** Most bytes of an answer in XML. */
const ANSWER = 0x1_0000;
const ABORT_MS = 5_000;

export class ObjectStore {
  readonly #client: HttpClient;
  readonly #send: SendObject;
  readonly #pauses: readonly number[];

  /** @param pauses between tries, in milliseconds */
  constructor(client: HttpClient, send: SendObject, pauses = PAUSES) {
    this.#client = client;
    this.#send = send;
    this.#pauses = pauses;
    client.acquire();
  }

  /** The size of an object; undefined if there is none. */
  async size(id: string, signal: AbortSignal): Promise<number | undefined> {
    const answer = await this.#ask({ method: 'HEAD', id, limit: 0, signal }, [404]);
    if (answer.status === 404) return undefined;
    const size = Number(headerOf(answer, 'content-length') ?? NaN);
    return Number.isSafeInteger(size) ? size : 0;
  }

  /** Writes an object of that size, whatever there was. */
  async put(
    id: string,
    size: number,
    bytes: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      if (size <= PART_SIZE) {
        const body: Buffer[] = [];
        for await (const piece of bytes) body.push(piece);
        await this.#ask({ method: 'PUT', id, body, limit: ANSWER, signal });
      } else await this.#putParts(id, size, bytes, signal);
    } catch (error) {
      throw located(error, { blob: id });
    }
  }

  close(): Promise<void> {
    return this.#client.release();
  }

  async #putParts(
    id: string,
    size: number,
    bytes: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<void> {
    const begun = await this.#ask({
      ...{ method: 'POST', id, query: { uploads: '' }, body: [] },
      ...{ limit: ANSWER, signal },
    });
    const uploadId = elementIn(begun.body, 'UploadId');
    if (uploadId === undefined) {
      throw new RafsError('BACKEND', 'the storage did not begin an upload', { url: begun.url });
    }
    try {
      const tags: string[] = [];
      const partSize = Math.max(PART_SIZE, Math.ceil(size / MOST_PARTS));
      for await (const body of partsOf(bytes, partSize)) {
        const query = { partNumber: String(tags.length + 1), uploadId };
        const answer = await this.#ask({ method: 'PUT', id, query, body, limit: ANSWER, signal });
        const tag = headerOf(answer, 'etag');
        if (tag === undefined) {
          throw new RafsError('BACKEND', 'the storage sent no ETag of a part', { url: answer.url });
        }
        tags.push(tag);
      }
      const body = [Buffer.from(completion(tags))];
      const query = { uploadId };
      const answer = await this.#ask({ method: 'POST', id, query, body, limit: ANSWER, signal });
      // it may have begun to answer before it knew
      if (!answer.body.includes('<Error>')) return;
      const said = elementIn(answer.body, 'Code') ?? 'an error';
      throw new RafsError('BACKEND', `the storage answered ${said}`, { url: answer.url });
    } catch (error) {
      const request = { method: 'DELETE', id, query: { uploadId }, limit: ANSWER } as const;
      await this.#send({ ...request, signal: AbortSignal.timeout(ABORT_MS) }).catch(
        () => undefined,
      );
      throw error;
    }
  }

  #ask(request: ObjectRequest, accept: readonly number[] = []): Promise<HttpAnswer> {
    const attempt = async (): Promise<HttpAnswer> => {
      const answer = await this.#send(request);
      const { status, url } = answer;
      if (status < 300 || accept.includes(status)) return answer;
      const said = elementIn(answer.body, 'Code');
      const text = `the storage answered ${statusText(status)}${said === undefined ? '' : `: ${said}`}`;
      throw isPassing(status)
        ? new TransientError(text, { url }, { retryAfter: retryAfterOf(answer) })
        : new RafsError('BACKEND', text, { url });
    };
    return retrying(attempt, request.signal, this.#pauses);
  }
}

export const openObjectStore = (backend: BucketBackend): ObjectStore => {
  if (backend.type === 's3') {
    const client = new HttpClient({ http: backend.http, host: backend.endpoint });
    return new ObjectStore(client, s3Requests(backend, client));
  }
  const host = `${backend.bucketName}.${backend.endpoint}`;
  const client = new HttpClient({ http: backend.http, host });
  return new ObjectStore(client, ossRequests(backend, client));
};

/** Bytes in parts of one size; the last may be smaller. */
async function* partsOf(
  bytes: AsyncIterable<Buffer>,
  partSize: number,
): AsyncGenerator<readonly Buffer[]> {
  let part: Buffer[] = [];
  let size = 0;
  for await (const piece of bytes) {
    for (let at = 0; at < piece.length;) {
      const taken = piece.subarray(at, at + partSize - size);
      part.push(taken);
      size += taken.length;
      at += taken.length;
      if (size < partSize) continue;
      yield part;
      part = [];
      size = 0;
    }
  }
  if (size > 0) yield part;
}

const ENTITIES: Readonly<Record<string, string>> = { quot: '"', amp: '&', lt: '<', gt: '>' };

/** The text of an element that has no others in it. */
const elementIn = (xml: Buffer, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`)
    .exec(xml.toString('utf8'))?.[1]
    ?.replace(/&(quot|amp|lt|gt);/g, (_, entity: string) => ENTITIES[entity]!);

const completion = (tags: readonly string[]): string => {
  const parts = tags.map((tag, i) => {
    const text = tag.replace(/[&<>]/g, c => `&#${c.charCodeAt(0)};`);
    return `<Part><PartNumber>${i + 1}</PartNumber><ETag>${text}</ETag></Part>`;
  });
  return `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
};
