/**
 * HTTP requests to servers or Unix sockets, directly or through a proxy, with bounds on time and
 * memory. Redirects are not followed. Without a proxy of its own, a client uses the environment's.
 *
 * It uses undici because Node's own fetch() supports neither sockets nor certificates.
 */
import { Readable } from 'node:stream';
import type { ProxySettings } from '../../lib/config/backends.js';
import { environmentProxy } from '../../lib/config/environment-proxy.js';
import { RafsError } from '../../lib/errors.js';
import { plainly, shownUrl, TransientError, type HttpAnswer, type HttpHead } from './answer.js';
import { Connections, isServer, loginIn, type ConnectionOptions } from './connections.js';

export interface StreamRequest {
  method: 'HEAD' | 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: URL;
  headers?: Readonly<Record<string, string>>;
  /** of a list, one buffer is sent after the other */
  body?: string | readonly Buffer[];
  /** bypass the client's own proxy, if it has one */
  direct?: boolean;
  signal: AbortSignal;
}

export interface HttpRequest extends StreamRequest {
  /** most bytes to accept of an answer's body; a longer one is an error if the status is 2xx */
  limit: number;
}

/** An answer whose body is still to come; who has it must read it to its end, or destroy it. */
export interface HttpStream extends HttpHead {
  body: Readable;
}

const CONNECTIONS = 4;
/** Bytes per second; what moves more slowly is given up. */
export const LEAST_RATE = 0x10000;
/** Most bytes of an error answer's body: it may say what went wrong. */
const ERROR_BODY = 0x10000;

export interface HttpClientOptions extends ConnectionOptions {
  /** the server that NYDUS_HEADER_* are meant for: `host:port` */
  host?: string;
}

/** Opens connections on demand, and closes them when the last user releases the client. */
export class HttpClient {
  readonly #options: HttpClientOptions;
  #users = 0;
  #connections: Connections | undefined;
  #proxyHealth: Promise<boolean> | undefined;

  constructor(options: HttpClientOptions) {
    // a server at a socket may support only one reader
    const connections = options.socketPath === undefined ? CONNECTIONS : 1;
    this.#options = { connections, ...options };
  }

  acquire(): void {
    this.#users += 1;
  }

  async release(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    const connections = this.#connections;
    this.#connections = undefined;
    this.#proxyHealth = undefined;
    await connections?.close();
  }

  /** One attempt, with the whole answer in memory. TransientError if a connection fails. */
  send(request: HttpRequest): Promise<HttpAnswer> {
    return this.#throughProxy(request, route => this.#sendBy(request, route));
  }

  /** One attempt, up to the head of the answer. TransientError if a connection fails. */
  open(request: StreamRequest): Promise<HttpStream> {
    return this.#throughProxy(request, route => this.#openBy(request, route));
  }

  /** Uses the client's own proxy while it works. */
  async #throughProxy<T extends HttpAnswer | HttpStream>(
    { url, direct, signal }: StreamRequest,
    attempt: (route: Route) => Promise<T>,
  ): Promise<T> {
    const { proxy } = this.#options.http;
    if (!proxy || direct || !(await this.#proxyWorks(proxy, signal))) {
      return attempt(this.#directly(url));
    }
    const route = { proxy: new URL(proxy.url), useHttp: proxy.useHttp };
    if (!proxy.fallback) return attempt(route);
    try {
      const answer = await attempt(route);
      if (answer.status < 500) return answer;
      if (!Buffer.isBuffer(answer.body)) await discard(answer.body);
    } catch (error) {
      if (signal.aborted || !(error instanceof TransientError)) throw error;
    }
    return attempt(this.#directly(url));
  }

  #directly(url: URL): Route {
    if (this.#options.socketPath !== undefined) return {};
    const proxy = environmentProxy(url, process.env);
    return proxy ? { proxy } : {};
  }

  /** Pings the proxy once; a proxy without a fallback is used without asking. */
  async #proxyWorks(proxy: ProxySettings, signal: AbortSignal): Promise<boolean> {
    if (proxy.pingUrl === '' || !proxy.fallback) return true;
    const ping = async (): Promise<boolean> => {
      if (!URL.canParse(proxy.pingUrl)) return false;
      const url = new URL(proxy.pingUrl);
      const request: HttpRequest = { method: 'GET', url, limit: ERROR_BODY, signal };
      const answer = await this.#sendBy(request, {}).catch(() => undefined);
      return answer !== undefined && answer.status < 400;
    };
    return (this.#proxyHealth ??= ping());
  }

  async #sendBy(request: HttpRequest, route: Route): Promise<HttpAnswer> {
    const { method, limit, signal } = request;
    const { timeout, connectTimeout } = this.#options.http;
    const deadline = new AbortController();
    const bytes = limit + sizeOfBody(request);
    const seconds = timeout + connectTimeout + bytes / LEAST_RATE;
    const timer =
      timeout > 0 ? setTimeout(() => deadline.abort(), Math.ceil(seconds * 1000)) : undefined;
    const stop = (): void => deadline.abort();
    signal.addEventListener('abort', stop);
    let head: HttpStream | undefined;
    try {
      signal.throwIfAborted();
      head = await this.#openBy({ ...request, signal: deadline.signal }, route);
      const body = method === 'HEAD' ? await nothingOf(head) : await bodyOf(head, limit);
      return { status: head.status, headers: head.headers, url: head.url, body };
    } catch (error) {
      signal.throwIfAborted();
      const url = head?.url ?? shownUrl(request.url);
      const text = head === undefined ? 'the server did not respond' : brokenText(head.status);
      if (deadline.signal.aborted) {
        throw new TransientError(text, { url }, { cause: new Error('the request timed out') });
      }
      if (error instanceof RafsError) throw error;
      throw new TransientError(text, { url }, { cause: plainly(error) });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }

  async #openBy(request: StreamRequest, { proxy, useHttp = false }: Route): Promise<HttpStream> {
    const { method, body, signal } = request;
    const { host, http, socketPath } = this.#options;
    const url = new URL(request.url);
    const isOwn = socketPath !== undefined || isServer(url, host);
    if (useHttp) url.protocol = 'http:';
    const headers: Record<string, string> = {
      'user-agent': 'rafs-stream',
      ...(isOwn ? environmentHeaders() : {}),
      ...request.headers,
    };
    const login = loginIn(url);
    if (login !== undefined) headers.authorization ??= login;
    const size = sizeOfBody(request);
    if (typeof body === 'object') headers['content-length'] = String(size);
    const shown = shownUrl(url);
    try {
      signal.throwIfAborted();
      this.#connections ??= new Connections(this.#options);
      // for http, the proxy is sent the whole URL; for https, it opens a tunnel
      const forward = url.protocol === 'http:' ? proxy : undefined;
      const dispatcher = await (forward
        ? this.#connections.to(forward)
        : this.#connections.to(url, proxy));
      const answer = await dispatcher.request({
        origin: forward ? forward.origin : url.origin,
        path: forward ? shown + url.search : url.pathname + url.search,
        method,
        headers: forward ? { host: url.host, ...proxyLogin(forward), ...headers } : headers,
        body: typeof body === 'object' ? Readable.from(body) : (body ?? null),
        // undici counts the time that it takes to send
        headersTimeout: http.timeout > 0 ? Math.ceil((http.timeout + size / LEAST_RATE) * 1000) : 0,
        signal,
      });
      return {
        status: answer.statusCode,
        headers: answer.headers,
        url: shown,
        body: answer.body,
      };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof RafsError) throw error;
      throw new TransientError(
        'the server did not respond',
        { url: shown },
        { cause: plainly(error) },
      );
    }
  }
}

interface Route {
  proxy?: URL;
  useHttp?: boolean;
}

const brokenText = (status: number): string => `the response with status ${status} was cut off`;

const sizeOfBody = ({ body = '' }: StreamRequest): number =>
  typeof body === 'string'
    ? Buffer.byteLength(body)
    : body.reduce((sum, { length }) => sum + length, 0);

const proxyLogin = (proxy: URL): Record<string, string> => {
  const login = loginIn(proxy);
  return login === undefined ? {} : { 'proxy-authorization': login };
};

/** `NYDUS_HEADER_<Name>=value`: headers for every request to the configured server. */
const environmentHeaders = (): Record<string, string> => {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    const header = /^NYDUS_HEADER_(.+)$/.exec(name)?.[1];
    if (header !== undefined && value !== undefined) headers[header.toLowerCase()] = value;
  }
  return headers;
};

const nothingOf = async ({ body }: HttpStream): Promise<Buffer> => {
  await discard(body);
  return Buffer.alloc(0);
};

/** The body; its beginning if the status tells of an error, and nothing for a redirect. */
export const bodyOf = async (stream: HttpStream, limit: number): Promise<Buffer> => {
  const { status, headers, body, url } = stream;
  if (status >= 300 && status < 400) return nothingOf(stream);
  if (status >= 400) return beginningOf(body);
  const length = Number(headers['content-length'] ?? limit);
  const bytes = Buffer.allocUnsafeSlow(Math.min(limit, length >= 0 ? length : limit));
  let size = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    if (size + piece.length > bytes.length) {
      body.destroy();
      const all = length > limit ? `${length} bytes` : 'more';
      throw new RafsError(
        'BACKEND',
        `the server ignored the Range header: expected ${limit} bytes, got ${all}`,
        { url },
      );
    }
    piece.copy(bytes, size);
    size += piece.length;
  }
  return bytes.subarray(0, size);
};

const beginningOf = async (body: Readable): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      pieces.push(piece);
      size += piece.length;
      if (size >= ERROR_BODY) break;
    }
  } catch {
    // the status says enough
  }
  return Buffer.concat(pieces, Math.min(size, ERROR_BODY));
};

/** Lets the rest of a body go, so that its connection can be used again if little is left. */
export const discard = async (body: Readable): Promise<void> => {
  body.on('error', () => undefined);
  let size = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size >= ERROR_BODY) break;
    }
  } catch {
    // nobody wants it
  }
};
