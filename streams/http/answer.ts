/** What servers answer, and what goes wrong on the way. */
import { STATUS_CODES } from 'node:http';
import { RafsError, type ErrorContext } from '../../lib/errors.js';

export interface HttpHead {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** safe to show: without credentials */
  url: string;
}

export interface HttpAnswer extends HttpHead {
  body: Buffer;
}

/** The value of a header; the first if there are several. */
export const headerOf = ({ headers }: HttpHead, name: string): string | undefined => {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
};

/** All values of a header. */
export const headersOf = ({ headers }: HttpHead, name: string): readonly string[] =>
  [headers[name] ?? []].flat();

/** A URL without credentials, whether before the host or in the query of a signed URL. */
export const shownUrl = ({ origin, protocol, host, pathname }: URL): string =>
  `${origin === 'null' ? `${protocol}//${host}` : origin}${pathname}`;

/** A failure that a retry may fix. */
export class TransientError extends RafsError {
  /** milliseconds to wait before that, if the server says so */
  readonly retryAfter: number | undefined;

  constructor(
    message: string,
    at?: ErrorContext,
    { cause, retryAfter }: { cause?: unknown; retryAfter?: number | undefined } = {},
  ) {
    super('BACKEND', message, at, cause === undefined ? {} : { cause });
    this.retryAfter = retryAfter;
  }
}

export const isRedirect = ({ status }: HttpHead): boolean =>
  [301, 302, 303, 307, 308].includes(status);

/** Whether a retry may succeed after this status. */
export const isPassing = (status: number): boolean =>
  status === 408 || status === 429 || status >= 500;

/** `404 Not Found` */
export const statusText = (status: number): string =>
  `${status} ${STATUS_CODES[status] ?? ''}`.trimEnd();

/** How long the server asks to be left alone: a number of seconds, or a date. */
export const retryAfterOf = (head: HttpHead, now = Date.now()): number | undefined => {
  const value = headerOf(head, 'retry-after')?.trim() ?? '';
  if (/^[0-9]{1,9}$/.test(value)) return Number(value) * 1000;
  const date = /^[A-Z]/i.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
};

/** What went wrong, in one sentence: the first error if several addresses were tried. */
export const plainly = (error: unknown): Error => {
  if (error instanceof AggregateError && error.errors.length > 0) return plainly(error.errors[0]);
  const e = error instanceof Error ? error : new Error(String(error));
  const text = e.message || e.name;
  return new Error(text, e.cause instanceof Error ? { cause: plainly(e.cause) } : {});
};

/** Whether a server does not speak TLS, judging by the messages of OpenSSL and the system. */
export const isTlsFailure = (error: unknown): boolean => {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (/wrong version number|ECONNREFUSED|packet length|\bssl\b/i.test(e.message)) return true;
  }
  return false;
};
