/** Requests for objects of a bucket, which each kind of storage signs in its way. */
import type { HttpAnswer } from '../http/answer.js';
import type { StreamRequest } from '../http/client.js';

/** A request for one object of a bucket. */
export interface ObjectRequest {
  method: StreamRequest['method'];
  /** latin1 */
  id: string;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  body?: readonly Buffer[];
  limit: number;
  signal: AbortSignal;
}

/** Signs and sends a request; makes one attempt. */
export type SendObject = (request: ObjectRequest) => Promise<HttpAnswer>;
