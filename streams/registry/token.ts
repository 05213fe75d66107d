/**
 * Tokens from the server that a registry's challenge names: with a password by GET, with an
 * identity token by POST.
 *
 * https://distribution.github.io/distribution/spec/auth/token/
 */
import { RafsError } from '../../lib/errors.js';
import type { Credential } from '../../lib/oci/auth-file.js';
import { registryMessage } from '../../lib/oci/registry-error.js';
import {
  isPassing,
  retryAfterOf,
  statusText,
  TransientError,
  type HttpAnswer,
} from '../http/answer.js';
import type { HttpClient } from '../http/client.js';

export interface TokenRequest {
  realm: URL;
  service: string | undefined;
  scopes: readonly string[];
  credential: Credential | undefined;
  signal: AbortSignal;
}

export interface Token {
  token: string;
  /** milliseconds that it may be used */
  lifetime: number;
  /** replaces the identity token */
  identity?: string;
}

const CLIENT_ID = 'rafs-stream';
const TOKEN_ANSWER = 0x10_0000;
/** Seconds, where the server does not say: the least that it may mean. */
const LIFETIME = 60;
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

/** One attempt, or two where a server knows only one of the methods. */
export const fetchToken = async (client: HttpClient, request: TokenRequest): Promise<Token> => {
  const { credential } = request;
  if (credential?.kind === 'identity') {
    const form = { grant_type: 'refresh_token', refresh_token: credential.token };
    return tokenIn(await post(client, request, form));
  }
  const login = credential?.kind === 'password' ? credential : undefined;
  const answer = await get(client, request, login);
  if (login && [404, 405].includes(answer.status)) {
    const { username, password } = login;
    return tokenIn(await post(client, request, { grant_type: 'password', username, password }));
  }
  return tokenIn(answer);
};

const get = (
  client: HttpClient,
  { realm, service, scopes, signal }: TokenRequest,
  login: { username: string; password: string } | undefined,
): Promise<HttpAnswer> => {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  const headers: Record<string, string> = {};
  if (login) {
    url.searchParams.set('account', login.username);
    headers.authorization = basic(login);
  }
  return client.send({ method: 'GET', url, headers, limit: TOKEN_ANSWER, direct: true, signal });
};

const post = (
  client: HttpClient,
  { realm, service, scopes, signal }: TokenRequest,
  grant: Readonly<Record<string, string>>,
): Promise<HttpAnswer> => {
  const form = new URLSearchParams({ ...grant, client_id: CLIENT_ID });
  if (service !== undefined) form.set('service', service);
  if (scopes.length > 0) form.set('scope', scopes.join(' '));
  const body = form.toString();
  const common = { limit: TOKEN_ANSWER, direct: true, signal };
  return client.send({ ...common, method: 'POST', url: realm, headers: FORM, body });
};

export const basic = ({ username, password }: { username: string; password: string }): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

const tokenIn = (answer: HttpAnswer): Token => {
  const { status, url, body } = answer;
  if (status >= 300) {
    const said = registryMessage(body);
    const text = `the token server answered ${statusText(status)}${said === undefined ? '' : `: ${said}`}`;
    throw isPassing(status)
      ? new TransientError(text, { url }, { retryAfter: retryAfterOf(answer) })
      : new RafsError('BACKEND', text, { url });
  }
  const value = parsed(body);
  const token = [value.token, value.access_token].find(isToken);
  if (token === undefined) {
    throw new RafsError('BACKEND', 'the token server sent no token', { url });
  }
  const seconds = Number(value.expires_in ?? LIFETIME);
  const lifetime = Math.max(LIFETIME, Number.isFinite(seconds) ? seconds : 0) * 1000;
  return {
    token,
    lifetime,
    ...(isToken(value.refresh_token) ? { identity: value.refresh_token } : {}),
  };
};

const parsed = (body: Buffer): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    // it may have any keys
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
};

const isToken = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x21-\x7e]+$/.test(value);
