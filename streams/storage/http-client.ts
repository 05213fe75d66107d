/**
 * HTTP requests for storages, to servers or Unix sockets, directly or through a proxy, with bounds
 * on time and memory. Redirects are not followed, and the environment's proxies are not used.
 *
 * It uses undici because Node's own fetch() supports neither sockets nor certificates.
 */
import { Agent, ProxyAgent, type Dispatcher } from 'undici';
import { readSmallFile } from '../io/small-file.js';
import type { HttpSettings, ProxySettings } from '../../lib/config/backends.js';
import { RafsError } from '../../lib/errors.js';

export interface HttpRequest {
  method: 'HEAD' | 'GET' | 'POST';
  url: URL;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  /** most bytes to accept of an answer's body; a longer one is an error if the status is 2xx */
  limit: number;
  /** bypass the proxy, if there is one */
  direct?: boolean;
  signal: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Buffer;
  /** safe to show: without credentials */
  url: string;
}

/** The value of a header; the first if there are several. */
export const headerOf = ({ headers }: HttpAnswer, name: string): string | undefined => {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
};

/** A URL without credentials, whether before the host or in the query of a signed URL. */
export const shownUrl = ({ origin, protocol, host, pathname }: URL): string =>
  `${origin === 'null' ? `${protocol}//${host}` : origin}${pathname}`;

/** A failure that a retry may fix. */
export class TransientError extends RafsError {}

const KEEP_ALIVE_MS = 4_000;
const CONNECTIONS = 4;
/** Bytes per second; an answer that arrives more slowly is given up. */
const LEAST_RATE = 0x10000;
/** Most bytes of an error answer's body; it may say what went wrong, but is not used. */
const ERROR_BODY = 0x10000;

export interface HttpClientOptions {
  http: HttpSettings;
  /** talk to this socket, whatever the URL's host */
  socketPath?: string;
}

/** Opens connections on demand, and closes them when the last user releases the client. */
export class HttpClient {
  readonly #http: HttpSettings;
  readonly #socketPath: string | undefined;
  #users = 0;
  #agents: Promise<Agents> | undefined;
  #proxyHealth: Promise<boolean> | undefined;

  constructor({ http, socketPath }: HttpClientOptions) {
    this.#http = http;
    this.#socketPath = socketPath;
  }

  acquire(): void {
    this.#users += 1;
  }

  async release(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    const agents = this.#agents;
    this.#agents = undefined;
    this.#proxyHealth = undefined;
    const made = await agents?.catch(() => undefined); // reported to the request that needed them
    await Promise.all([made?.direct.destroy(), made?.proxy?.destroy()]);
  }

  /** One attempt, through the proxy while it works. TransientError if a connection fails. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { proxy } = this.#http;
    if (!proxy || request.direct || !(await this.#proxyWorks(proxy, request.signal))) {
      return this.#sendBy(request, undefined);
    }
    if (!proxy.fallback) return this.#sendBy(request, proxy);
    try {
      const answer = await this.#sendBy(request, proxy);
      if (answer.status < 500) return answer;
    } catch (error) {
      if (request.signal.aborted || !(error instanceof TransientError)) throw error;
    }
    return this.#sendBy(request, undefined);
  }

  /** Pings the proxy once; a proxy without a fallback is used without asking. */
  async #proxyWorks(proxy: ProxySettings, signal: AbortSignal): Promise<boolean> {
    if (proxy.pingUrl === '' || !proxy.fallback) return true;
    const ping = async (): Promise<boolean> => {
      if (!URL.canParse(proxy.pingUrl)) return false;
      const url = new URL(proxy.pingUrl);
      const request: HttpRequest = { method: 'GET', url, limit: ERROR_BODY, signal };
      const answer = await this.#sendBy(request, undefined).catch(() => undefined);
      return answer !== undefined && answer.status < 400;
    };
    return (this.#proxyHealth ??= ping());
  }

  async #sendBy(request: HttpRequest, proxy: ProxySettings | undefined): Promise<HttpAnswer> {
    const { method, body, limit, signal } = request;
    const { timeout } = this.#http;
    const url = new URL(request.url);
    if (proxy?.useHttp) url.protocol = 'http:';
    const headers: Record<string, string> = {
      'user-agent': 'rafs-stream',
      ...environmentHeaders(),
      ...request.headers,
    };
    const login = loginIn(url);
    if (login !== undefined) headers.authorization ??= login;
    const shown = shownUrl(url);
    const deadline = new AbortController();
    const seconds = timeout + this.#http.connectTimeout + limit / LEAST_RATE;
    const timer =
      timeout > 0 ? setTimeout(() => deadline.abort(), Math.ceil(seconds * 1000)) : undefined;
    const stop = (): void => deadline.abort();
    signal.addEventListener('abort', stop);
    let status: number | undefined;
    try {
      signal.throwIfAborted();
      const { direct, proxy: tunnel } = await (this.#agents ??= this.#makeAgents());
      // for http, the proxy is sent the whole URL; for https, it opens a tunnel
      const forward = proxy !== undefined && url.protocol === 'http:';
      const dispatcher = proxy && !forward ? tunnel! : direct;
      const answer = await dispatcher.request({
        origin: forward ? new URL(proxy.url).origin : url.origin,
        path: forward ? shown + url.search : url.pathname + url.search,
        method,
        headers: forward ? { host: url.host, ...proxyLogin(proxy), ...headers } : headers,
        body: body ?? null,
        signal: deadline.signal,
      });
      status = answer.statusCode;
      return {
        status,
        headers: answer.headers,
        body: await bodyOf(answer, status < 300 ? limit : undefined, shown),
        url: shown,
      };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof RafsError) throw error;
      const cause = deadline.signal.aborted ? new Error('it takes too long') : plainly(error);
      const text = status === undefined ? 'no answer' : `an answer of status ${status} breaks off`;
      throw new TransientError('BACKEND', text, { url: shown }, { cause });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }

  async #makeAgents(): Promise<Agents> {
    const { skipVerify, caCertFiles, timeout, connectTimeout, proxy } = this.#http;
    const extra = await Promise.all(caCertFiles.map(readCertificate));
    // the given CA certificates add to the built-in ones
    const { rootCertificates } = await import('node:tls');
    const tls = {
      rejectUnauthorized: !skipVerify,
      ...(extra.length > 0 ? { ca: [...rootCertificates, ...extra] } : {}),
    };
    const milliseconds = (seconds: number): number => Math.ceil(seconds * 1000);
    const common = {
      headersTimeout: milliseconds(timeout),
      bodyTimeout: milliseconds(timeout),
      keepAliveTimeout: KEEP_ALIVE_MS,
      pipelining: 1,
      // a server at a socket may support only one reader
      connections: this.#socketPath === undefined ? CONNECTIONS : 1,
    };
    const connect = {
      ...tls,
      timeout: milliseconds(connectTimeout),
      ...(this.#socketPath === undefined ? {} : { socketPath: this.#socketPath }),
    };
    const direct = new Agent({ ...common, connect });
    if (!proxy) return { direct };
    const { origin } = new URL(proxy.url);
    const token = proxyLogin(proxy)['proxy-authorization'];
    const tunnel = new ProxyAgent({
      ...common,
      uri: origin,
      requestTls: connect,
      proxyTls: connect,
      ...(token === undefined ? {} : { token }),
    });
    return { direct, proxy: tunnel };
  }
}

interface Agents {
  direct: Agent;
  proxy?: ProxyAgent;
}

const readCertificate = async (file: string): Promise<Buffer> => {
  try {
    return await readSmallFile(file);
  } catch (cause) {
    // not a bare system error: ENOENT would mean that a blob is missing
    throw new RafsError('UNSUPPORTED', 'certificates cannot be read', { file }, { cause });
  }
};

const proxyLogin = ({ url }: ProxySettings): Record<string, string> => {
  const login = loginIn(new URL(url));
  return login === undefined ? {} : { 'proxy-authorization': login };
};

/** The user and password in a URL, as the value of an authorization header. */
const loginIn = ({ username, password }: URL): string | undefined => {
  if (username === '') return undefined;
  const login = Buffer.from(`${plain(username)}:${plain(password)}`);
  return `Basic ${login.toString('base64')}`;
};

const plain = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a literal '%'
  }
};

/** `NYDUS_HEADER_<Name>=value`: headers for every request. */
const environmentHeaders = (): Record<string, string> => {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    const header = /^NYDUS_HEADER_(.+)$/.exec(name)?.[1];
    if (header !== undefined && value !== undefined) headers[header.toLowerCase()] = value;
  }
  return headers;
};

/** The body; discarded if there is no limit. */
const bodyOf = async (
  { body, headers }: Dispatcher.ResponseData,
  limit: number | undefined,
  url: string,
): Promise<Buffer> => {
  if (limit === undefined) {
    await body.dump({ limit: ERROR_BODY }).catch(() => undefined); // the status says enough
    return Buffer.alloc(0);
  }
  const bytes = Buffer.allocUnsafeSlow(limit);
  let size = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    if (size + piece.length > limit) {
      body.destroy();
      const length = headers['content-length'];
      const all = typeof length === 'string' ? `${length} bytes` : 'more';
      throw new RafsError(
        'BACKEND',
        `${limit} bytes were asked for, and ${all} come: ranges are not heeded`,
        { url },
      );
    }
    piece.copy(bytes, size);
    size += piece.length;
  }
  return bytes.subarray(0, size);
};

/** What went wrong, in one sentence: the first error if several addresses were tried. */
const plainly = (error: unknown): Error => {
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
