/**
 * Blobs of a repository in a registry. Authentication follows the registry's challenge, which names
 * a scheme or a token server. The registry may redirect to other servers for the bytes; these are
 * sent no credentials.
 *
 * https://distribution.github.io/distribution/spec/auth/token/
 */
import type { RegistryBackend } from '../../lib/config/backends.js';
import { RafsError } from '../../lib/errors.js';
import type { Storage } from './storage.js';
import {
  headerOf,
  isTlsFailure,
  shownUrl,
  TransientError,
  type HttpAnswer,
} from '../http/answer.js';
import { HttpClient, type HttpRequest } from '../http/client.js';
import { RemoteStorage, type BlobRequest } from './remote-storage.js';

export const registry = (backend: RegistryBackend): Storage => {
  const client = new HttpClient({ http: backend.http, host: backend.host });
  const session = new RegistrySession(backend, client);
  return new RemoteStorage(client, request => session.ask(request));
};

const MOST_REDIRECTS = 5;
const TOKEN_ANSWER = 0x10_0000;
const CLIENT_ID = 'nydus-registry-client';

class RegistrySession {
  readonly #backend: RegistryBackend;
  readonly #client: HttpClient;
  #scheme: string;
  #authorization: string | undefined;
  #elsewhere = new Map<string, URL>(); // redirect targets by id
  #getsTokens = new Set<string>(); // token servers that refuse POST

  constructor(backend: RegistryBackend, client: HttpClient) {
    this.#backend = backend;
    this.#client = client;
    this.#scheme = backend.scheme;
    if (backend.registryToken !== '') this.#authorization = `Bearer ${backend.registryToken}`;
  }

  async ask(request: BlobRequest): Promise<HttpAnswer> {
    const known = this.#elsewhere.get(request.id);
    if (known && request.method === 'GET') {
      const answer = await this.#send(request, known, this.#authorizationAt(known));
      if (answer.status !== 401 && answer.status !== 403) return answer;
      this.#elsewhere.delete(request.id); // the address is no longer valid
    }
    let answer = await this.#askRegistry(request);
    for (let hop = 0; isRedirect(answer.status); hop++) {
      const target = this.#target(answer);
      if (!target || hop === MOST_REDIRECTS) break;
      answer = await this.#send(request, target, this.#authorizationAt(target));
      if (answer.status < 300 && request.method === 'GET') this.#elsewhere.set(request.id, target);
    }
    return answer;
  }

  async #askRegistry(request: BlobRequest): Promise<HttpAnswer> {
    const { host, repo, http } = this.#backend;
    const path = `/v2/${repo}/blobs/sha256:${encodeURIComponent(request.id)}`;
    const send = (authorization: string | undefined): Promise<HttpAnswer> =>
      this.#send(request, new URL(`${this.#scheme}://${host}${path}`), authorization);
    const sent = this.#authorization;
    let answer: HttpAnswer;
    try {
      answer = await send(sent);
    } catch (error) {
      if (this.#scheme === 'http' || !http.skipVerify || !isTlsFailure(error)) throw error;
      // `auth` would follow as soon as the server asks for it, and it may be anybody
      if (sent !== undefined || this.#backend.auth !== '') {
        const text = 'the registry does not speak TLS, and credentials are not sent without it';
        throw new RafsError('BACKEND', text, { host }, { cause: error });
      }
      this.#scheme = 'http';
      answer = await send(sent);
    }
    if (answer.status !== 401) return answer;
    this.#authorization = undefined;
    // the challenge for an expired token may differ from the one for no token
    if (sent !== undefined) answer = await send(undefined);
    if (answer.status !== 401) return answer;
    const authorization = await this.#authorize(answer, request.signal);
    if (authorization === undefined) return answer;
    answer = await send(authorization);
    if (answer.status < 400) this.#authorization = authorization;
    return answer;
  }

  #send(
    { method, range, limit, signal }: BlobRequest,
    url: URL,
    authorization?: string,
  ): Promise<HttpAnswer> {
    const headers = {
      ...(range === undefined ? {} : { range }),
      ...(authorization === undefined ? {} : { authorization }),
    };
    return this.#client.send({ method, url, headers, limit, signal });
  }

  /** Credentials go to the registry only, not to the servers it redirects to. */
  #authorizationAt({ origin }: URL): string | undefined {
    const own = new URL(`${this.#scheme}://${this.#backend.host}`).origin;
    return origin === own ? this.#authorization : undefined;
  }

  #target(answer: HttpAnswer): URL | undefined {
    const { blobUrlScheme, blobRedirectedHost, http } = this.#backend;
    const location = headerOf(answer, 'location');
    if (location === undefined || !URL.canParse(location, answer.url)) return undefined;
    const target = new URL(location, answer.url);
    if (target.protocol !== 'http:' && target.protocol !== 'https:') return undefined;
    if (blobUrlScheme !== '') target.protocol = `${blobUrlScheme}:`;
    if (blobRedirectedHost !== '') target.host = blobRedirectedHost;
    const loses = answer.url.startsWith('https:') && target.protocol === 'http:';
    if (loses && blobUrlScheme !== 'http' && !http.skipVerify) {
      throw new RafsError('BACKEND', `the registry redirected from https to ${shownUrl(target)}`, {
        url: answer.url,
      });
    }
    return target;
  }

  /** The authorization the registry asks for; undefined if it cannot be determined. */
  async #authorize(answer: HttpAnswer, signal: AbortSignal): Promise<string | undefined> {
    const { auth } = this.#backend;
    const challenges = [answer.headers['www-authenticate'] ?? []].flat().map(parseChallenge);
    const bearer = challenges.find(challenge => challenge?.scheme === 'bearer');
    if (!bearer) {
      const isBasic = challenges.some(challenge => challenge?.scheme === 'basic');
      return isBasic && auth !== '' ? `Basic ${auth}` : undefined;
    }
    const { realm, service, scope } = bearer.values;
    if (realm === undefined || service === undefined || !URL.canParse(realm)) return undefined;
    const url = new URL(realm);
    if (!/^https?:$/.test(url.protocol)) return undefined;
    if (url.protocol === 'http:' && this.#scheme === 'https' && this.#backend.auth !== '') {
      throw new RafsError('BACKEND', 'credentials are not sent to a token server without TLS', {
        url: shownUrl(url),
      });
    }
    const form = new URLSearchParams({ service, client_id: CLIENT_ID });
    if (scope !== undefined) form.set('scope', scope);
    const token = await this.#token(url, form, signal);
    return `Bearer ${token}`;
  }

  /** Most token servers answer POST, and all answer GET. The proxy does not see tokens. */
  async #token(url: URL, form: URLSearchParams, signal: AbortSignal): Promise<string> {
    const { auth } = this.#backend;
    const login = auth === '' ? {} : { authorization: `Basic ${auth}` };
    const common = { limit: TOKEN_ANSWER, direct: true, signal };
    let answer: HttpAnswer | undefined;
    if (!this.#getsTokens.has(url.host)) {
      const type = { 'content-type': 'application/x-www-form-urlencoded' };
      const post: HttpRequest = {
        ...common,
        method: 'POST',
        url,
        headers: { ...login, ...type },
        body: form.toString(),
      };
      answer = await this.#client.send(post);
    }
    let token = answer && tokenIn(answer);
    if (token === undefined) {
      const asked = new URL(url);
      for (const [name, value] of form) asked.searchParams.set(name, value);
      answer = await this.#client.send({ ...common, method: 'GET', url: asked, headers: login });
      token = tokenIn(answer);
      if (token !== undefined) this.#getsTokens.add(url.host);
    }
    if (token !== undefined) return token;
    const { status, url: shown } = answer!; // set by one request or the other
    const text = `no token to read with: status ${status}`;
    throw status >= 500
      ? new TransientError(text, { url: shown })
      : new RafsError('BACKEND', text, { url: shown });
  }
}

const isRedirect = (status: number): boolean => status >= 300 && status < 400;

const tokenIn = ({ status, body }: HttpAnswer): string | undefined => {
  if (status >= 300) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { token, access_token: other } = value as Record<string, unknown>; // it may have any keys
  return [token, other].find(text => typeof text === 'string' && /^[\x21-\x7e]+$/.test(text)) as
    string | undefined; // find() checked the type
};

/** `Bearer realm="…",service="…"`: the scheme in lower case, and its parameters. */
export const parseChallenge = (
  text: string,
): { scheme: string; values: Partial<Record<string, string>> } | undefined => {
  const scheme = /^\s*([A-Za-z]+)(?:\s+|$)/.exec(text);
  if (!scheme) return undefined;
  const values: Partial<Record<string, string>> = {};
  for (const [, name, quoted, plain] of text
    .slice(scheme[0].length)
    .matchAll(/([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/g)) {
    values[name!.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? plain!;
  }
  return { scheme: scheme[1]!.toLowerCase(), values };
};
