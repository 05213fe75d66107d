/**
 * Requests to one registry: by TLS, or without where that is allowed; authorized as it asks;
 * redirected as it says; tried again when that may help. The rules are those of containerd and
 * skopeo.
 */
import type { HttpSettings } from '../../lib/config/backends.js';
import { isLoopback } from '../../lib/config/environment-proxy.js';
import { located, RafsError } from '../../lib/errors.js';
import { serverOf } from '../../lib/oci/reference.js';
import { registryMessage } from '../../lib/oci/registry-error.js';
import {
  headerOf,
  isPassing,
  isRedirect,
  isTlsFailure,
  plainly,
  retryAfterOf,
  shownUrl,
  statusText,
  TransientError,
  type HttpAnswer,
} from '../http/answer.js';
import {
  bodyOf,
  discard,
  HttpClient,
  LEAST_RATE,
  type HttpStream,
  type StreamRequest,
} from '../http/client.js';
import { retrying } from '../http/retry.js';
import { Authorizer } from './authorizer.js';
import { findCertificates, type HostCertificates } from './certificates.js';
import { findCredential, type FindCredential } from './credentials.js';

export interface RegistryOptions {
  /** as a reference has it: `docker.io` stands for its server */
  host: string;
  /** allow plain HTTP, and certificates that nobody vouches for */
  insecure?: boolean;
  /** known beforehand; otherwise TLS, and where that is allowed plain HTTP, are tried */
  scheme?: 'http' | 'https';
  http?: Partial<HttpSettings>;
  credentials?: FindCredential;
  /** a token to begin with */
  token?: string;
  /** certificates of this registry; by default those of `certs.d` */
  certificates?: () => Promise<HostCertificates>;
  /** another address for what the registry redirects to */
  redirectTo?: (url: URL) => URL;
  /** milliseconds before each retry */
  pauses?: readonly number[];
}

export interface RegistryRequest {
  method: StreamRequest['method'];
  repository: string;
  /** below `/v2/REPOSITORY/`, or a whole URL that the registry gave */
  path: string | URL;
  scopes: readonly string[];
  headers?: Readonly<Record<string, string>>;
  body?: readonly Buffer[];
  signal: AbortSignal;
  /** statuses of 400 and more that are answers, not failures */
  accept?: readonly number[];
  /** told where the registry sends the request on to */
  onRedirect?: (url: URL) => void;
}

const HTTP: HttpSettings = { skipVerify: false, caCertFiles: [], timeout: 30, connectTimeout: 20 };
const REGISTRY_PAUSES: readonly number[] = [200, 800, 2400, 4800];
const MOST_REDIRECTS = 10;
/** Requests for one answer: without a token, with an old one, with a new one. */
const MOST_REFUSALS = 2;

export const pullScope = (repository: string): string => `repository:${repository}:pull`;
export const pushScope = (repository: string): string => `repository:${repository}:pull,push`;

export class Registry {
  readonly host: string;
  readonly pauses: readonly number[];
  readonly #options: RegistryOptions;
  readonly #server: string;
  readonly #closing = new AbortController();
  #opened: Promise<{ client: HttpClient; authorizer: Authorizer }> | undefined;
  #scheme: Promise<'http' | 'https'> | undefined;
  #isSecure = true;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.host = options.host;
    this.#server = serverOf(options.host);
    this.pauses = options.pauses ?? REGISTRY_PAUSES;
  }

  /** The whole answer, tried again while that may help. Fails for a status of 400 or more. */
  async ask(request: RegistryRequest & { limit: number }): Promise<HttpAnswer> {
    return this.#tried(request, () => this.#answer(request));
  }

  /** The whole answer, tried once: TransientError if another try may help. */
  async askOnce(request: RegistryRequest & { limit: number }): Promise<HttpAnswer> {
    try {
      return await this.#answer(request);
    } catch (error) {
      throw this.#located(error, request);
    }
  }

  /** The head of an answer whose body is still to come; tried again up to there. */
  async open(request: RegistryRequest): Promise<HttpStream> {
    return this.#tried(request, () => this.#attempt(request));
  }

  async #tried<T>(request: RegistryRequest, work: () => Promise<T>): Promise<T> {
    try {
      return await retrying(work, request.signal, this.pauses);
    } catch (error) {
      throw this.#located(error, request);
    }
  }

  async #answer(request: RegistryRequest & { limit: number }): Promise<HttpAnswer> {
    const { status, headers, url, body } = await this.#attempt(request);
    const limit = request.method === 'HEAD' ? 0 : request.limit;
    const { timeout } = { ...HTTP, ...this.#options.http };
    const late = (): unknown => body.destroy(new Error('the request timed out'));
    const timer =
      timeout > 0 ? setTimeout(late, Math.ceil((timeout + limit / LEAST_RATE) * 1000)) : undefined;
    try {
      return { status, headers, url, body: await bodyOf({ status, headers, url, body }, limit) };
    } catch (error) {
      request.signal.throwIfAborted();
      if (error instanceof RafsError) throw error;
      throw new TransientError('the response was cut off', { url }, { cause: plainly(error) });
    } finally {
      clearTimeout(timer);
    }
  }

  #located(error: unknown, { repository }: RegistryRequest): Error {
    return located(error, { registry: this.host, repository });
  }

  /** One try: with what the registry wants to see, and to where it redirects. */
  async #attempt(request: RegistryRequest): Promise<HttpStream> {
    const { client, authorizer } = await this.#open();
    const { repository, path, scopes, signal } = request;
    const base = `${await this.#schemeOf(client, signal)}://${this.#server}/v2/${repository}/`;
    const url = typeof path === 'string' ? new URL(path, base) : path;
    for (let refusals = 0; ; refusals++) {
      const own = url.origin === new URL(base).origin;
      const authorization = own
        ? await abortable(authorizer.authorization({ repository, scopes }), signal)
        : undefined;
      const answer = await this.#follow(client, request, url, authorization);
      if (answer.status < 400) return answer;
      const isRefusal = own && (answer.status === 401 || answer.status === 403);
      if (isRefusal && refusals < MOST_REFUSALS && authorizer.refused(answer, authorization)) {
        await discard(answer.body);
        continue;
      }
      if (request.accept?.includes(answer.status)) return answer;
      throw await failureOf(answer);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const opened = await this.#opened?.catch(() => undefined); // told to who asked
    this.#opened = undefined;
    await opened?.client.release();
  }

  /** Sends a request and goes where it is sent on to; the authorization goes to the registry only. */
  async #follow(
    client: HttpClient,
    { method, headers, body, onRedirect, signal }: RegistryRequest,
    first: URL,
    authorization: string | undefined,
  ): Promise<HttpStream> {
    let url = first;
    for (let hops = 0; ; hops++) {
      const own = url.origin === first.origin && authorization !== undefined;
      const answer = await client.open({
        method,
        url,
        headers: { ...headers, ...(own ? { authorization } : {}) },
        ...(body === undefined ? {} : { body }),
        signal,
      });
      if (!isRedirect(answer)) return answer;
      const target = headerOf(answer, 'location') ?? '';
      await discard(answer.body);
      if (hops === MOST_REDIRECTS) {
        throw new RafsError('BACKEND', 'too many redirects', { url: answer.url });
      }
      url = this.#redirected(url, target);
      onRedirect?.(url);
    }
  }

  #redirected(from: URL, location: string): URL {
    const refuse = (why: string): RafsError =>
      new RafsError('BACKEND', why, { url: shownUrl(from) });
    if (location === '' || !URL.canParse(location, from.href)) {
      throw refuse('the registry redirected to an invalid address');
    }
    const { redirectTo, insecure = false } = this.#options;
    const url = redirectTo ? redirectTo(new URL(location, from)) : new URL(location, from);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw refuse(`the registry redirected to unsupported protocol '${url.protocol}'`);
    }
    if (from.protocol === 'https:' && url.protocol === 'http:' && !insecure && !redirectTo) {
      throw refuse(`the registry redirected from https to ${shownUrl(url)}`);
    }
    return url;
  }

  #open(): Promise<{ client: HttpClient; authorizer: Authorizer }> {
    return (this.#opened ??= this.#prepare());
  }

  async #prepare(): Promise<{ client: HttpClient; authorizer: Authorizer }> {
    const { host, insecure = false, http = {}, credentials, token, certificates } = this.#options;
    const found = await (certificates ?? (() => findCertificates(this.#server)))();
    const settings: HttpSettings = {
      ...HTTP,
      ...http,
      skipVerify: insecure || (http.skipVerify ?? false),
      caCertFiles: [...(http.caCertFiles ?? []), ...found.caCertFiles],
    };
    const { clientCertificate } = found;
    const client = new HttpClient({
      http: settings,
      host: this.#server,
      // a body that waits for its reader holds its connection: a limit could stop them all
      connections: Infinity,
      ...(clientCertificate ? { clientCertificate } : {}),
    });
    client.acquire();
    const authorizer = new Authorizer({
      client,
      host,
      credentials: credentials ?? findCredential(),
      token,
      isSecure: () => this.#isSecure,
      signal: this.#closing.signal,
    });
    return { client, authorizer };
  }

  async #schemeOf(client: HttpClient, signal: AbortSignal): Promise<'http' | 'https'> {
    const scheme = (this.#scheme ??= this.#findScheme(client));
    scheme.catch(() => (this.#scheme = undefined));
    return abortable(scheme, signal);
  }

  /** Asks, without a name, whether the registry speaks TLS, if it need not. */
  async #findScheme(client: HttpClient): Promise<'http' | 'https'> {
    const { insecure = false, scheme } = this.#options;
    const isHere = isLoopback(new URL(`http://${this.#server}`).hostname);
    const found =
      scheme ?? (isHere || insecure ? await this.#triedScheme(client, isHere) : 'https');
    this.#isSecure = found === 'https';
    return found;
  }

  /** On this machine plain HTTP is tried first, which needs no certificates to be loaded. */
  async #triedScheme(client: HttpClient, isHere: boolean): Promise<'http' | 'https'> {
    const { signal } = this.#closing;
    const ping = async (scheme: 'http' | 'https'): Promise<number> => {
      const url = new URL(`${scheme}://${this.#server}/v2/`);
      const { status, body } = await client.open({ method: 'GET', url, signal });
      await discard(body);
      return status;
    };
    if (isHere) {
      // a server with TLS hangs up, sends what is no HTTP, or answers with a Bad Request
      const status = await ping('http').catch(() => 400);
      if (status !== 400) return 'http';
    }
    try {
      await ping('https');
      return 'https';
    } catch (error) {
      if (isTlsFailure(error)) return 'http';
      throw error;
    }
  }
}

/** What an answer of status 400 or more means. */
const failureOf = async (answer: HttpStream): Promise<RafsError> => {
  const { status, url } = answer;
  const said = registryMessage(await bodyOf(answer, 0));
  const text = `the registry answered ${statusText(status)}${said === undefined ? '' : `: ${said}`}`;
  return isPassing(status)
    ? new TransientError(text, { status, url }, { retryAfter: retryAfterOf(answer) })
    : new RafsError('BACKEND', text, { status, url });
};

/** Waits for what others wait for, too, but no longer than the signal lets. */
const abortable = async <T>(work: Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop!);
  }
};
