/**
 * Requests over HTTP, for storages: to servers, sockets, and through a proxy, with bounds on time and
 * on memory. No redirects are followed, and proxies of the environment are not used.
 *
 * undici, since Node's own fetch() knows no sockets and no certificates.
 */
import { readFile } from 'node:fs/promises';
import { Agent, ProxyAgent, type Dispatcher } from 'undici';
import type { HttpSettings, ProxySettings } from '../../lib/backend-config.js';
import { RafsError } from '../../lib/errors.js';

export interface HttpRequest {
  method: 'HEAD' | 'GET' | 'POST';
  url: URL;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  /** bytes of an answer that are taken; a longer one with a status of 2xx is an error */
  limit: number;
  /** ask the server itself even if there is a proxy */
  direct?: boolean;
  signal: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Buffer;
  /** as it may be shown: without credentials */
  url: string;
}

/** The one value of a header of an answer. */
export const headerOf = ({ headers }: HttpAnswer, name: string): string | undefined => {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
};

/** Without credentials: those before the host, and those that a signed address ends with. */
export const shownUrl = ({ origin, protocol, host, pathname }: URL): string =>
  `${origin === 'null' ? `${protocol}//${host}` : origin}${pathname}`;

/** What may go well the next time. */
export class TransientError extends RafsError {}

const KEEP_ALIVE_MS = 4_000;
const CONNECTIONS = 4;
/** An answer that is slower than that, in bytes a second, is given up. */
const LEAST_RATE = 0x10000;
/** Of an answer that is no success: some servers say why in it, which is not read. */
const ERROR_BODY = 0x10000;

export interface HttpClientOptions {
  http: HttpSettings;
  /** talk to this socket, whatever the URL's host */
  socketPath?: string;
}

/** Connections are made when they are needed, and ended when nobody has the client in use. */
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
    const made = await agents?.catch(() => undefined); // whoever asked for them was told
    await Promise.all([made?.direct.destroy(), made?.proxy?.destroy()]);
  }

  /** One try, through the proxy while that works. TransientError where a connection fails. */
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

  /** Asked once; a proxy that nobody may do without is used whatever it says. */
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
      // of http a proxy is asked with the whole address; to https it opens a tunnel
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
    // authorities that are given come on top of those that are known
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
      // servers of sockets may know one reader only
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
    return await readFile(file);
  } catch (cause) {
    // not as the system says it: no blob is missing
    throw new RafsError('UNSUPPORTED', 'certificates cannot be read', { file }, { cause });
  }
};

const proxyLogin = ({ url }: ProxySettings): Record<string, string> => {
  const login = loginIn(new URL(url));
  return login === undefined ? {} : { 'proxy-authorization': login };
};

/** The user and password before a host, as a header has them. */
const loginIn = ({ username, password }: URL): string | undefined => {
  if (username === '') return undefined;
  const login = Buffer.from(`${plain(username)}:${plain(password)}`);
  return `Basic ${login.toString('base64')}`;
};

const plain = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a '%' that stands for itself
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

/** The body; without a limit it is thrown away. */
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

/** What went wrong, in one sentence. Several addresses that were tried have an error each. */
const plainly = (error: unknown): Error => {
  if (error instanceof AggregateError && error.errors.length > 0) return plainly(error.errors[0]);
  const e = error instanceof Error ? error : new Error(String(error));
  const text = e.message || e.name;
  return new Error(text, e.cause instanceof Error ? { cause: plainly(e.cause) } : {});
};

/** Whether a server speaks no TLS where it should; the words are OpenSSL's and the system's. */
export const isTlsFailure = (error: unknown): boolean => {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (/wrong version number|ECONNREFUSED|packet length|\bssl\b/i.test(e.message)) return true;
  }
  return false;
};
