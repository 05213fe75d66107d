/**
 * What to say to a registry so that it lets us in. Nothing until it asks; then what its challenge
 * wants, for each set of scopes, as long as a token lives.
 */
import { RafsError } from '../../lib/errors.js';
import type { Credential } from '../../lib/oci/auth-file.js';
import { parseChallenges, type Challenge } from '../../lib/oci/challenge.js';
import { headersOf, shownUrl, type HttpHead } from '../http/answer.js';
import type { HttpClient } from '../http/client.js';
import type { FindCredential } from './credentials.js';
import { basic, fetchToken } from './token.js';

export interface AuthorizerOptions {
  client: HttpClient;
  /** as a reference has it */
  host: string;
  credentials: FindCredential;
  /** a token to begin with */
  token?: string | undefined;
  /** whether the registry is reached by TLS */
  isSecure: () => boolean;
  /** ends all that several requests wait for together */
  signal: AbortSignal;
}

/** Access that a request needs, and the repository whose credentials count. */
export interface Access {
  repository: string;
  scopes: readonly string[];
}

/** Part of a token's life after which it is no longer used. */
const USABLE = 0.8;

interface KnownToken {
  authorization: Promise<string>;
  until: number;
}

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #tokens = new Map<string, KnownToken>();
  readonly #credentials = new Map<string, Promise<Credential | undefined>>();
  #challenge: Challenge | undefined;
  #given: string | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    this.#given = options.token;
  }

  /** The value of the authorization header; undefined if there is nothing to say. */
  async authorization(access: Access): Promise<string | undefined> {
    if (this.#given !== undefined) return `Bearer ${this.#given}`;
    const challenge = this.#challenge;
    if (!challenge) return undefined;
    if (challenge.scheme === 'basic') {
      const credential = await this.#credential(access);
      return credential?.kind === 'password' ? basic(credential) : undefined;
    }
    const asked = (challenge.values.scope ?? '').split(' ').filter(scope => scope !== '');
    // what the challenge adds was asked for another request, which may have been another repository's
    const added = asked.filter(scope => access.scopes.some(own => isSameResource(own, scope)));
    const scopes = mergeScopes([...access.scopes, ...added]);
    const key = scopes.join(' ');
    const known = this.#tokens.get(key);
    if (known && performance.now() < known.until) return known.authorization;
    const fresh: KnownToken = { until: Infinity, authorization: Promise.resolve('') };
    fresh.authorization = this.#fetch(challenge, scopes, access, fresh);
    this.#tokens.set(key, fresh);
    fresh.authorization.catch(() => {
      if (this.#tokens.get(key) === fresh) this.#tokens.delete(key);
    });
    return fresh.authorization;
  }

  /** Takes in a refusal; whether another try may do better than with what was sent. */
  refused(answer: HttpHead, sent: string | undefined): boolean {
    const challenges = parseChallenges(headersOf(answer, 'www-authenticate'));
    const challenge =
      challenges.find(({ scheme, values }) => scheme === 'bearer' && values.realm !== undefined) ??
      challenges.find(({ scheme }) => scheme === 'basic');
    if (sent !== undefined && sent === `Bearer ${this.#given}`) this.#given = undefined;
    if (answer.status === 401 && challenge) this.#challenge = challenge;
    if (sent === undefined) return answer.status === 401 && challenge !== undefined;
    this.#tokens.clear();
    return sent.startsWith('Bearer ') && (answer.status === 401 || answer.status === 403);
  }

  #credential({ repository }: Access): Promise<Credential | undefined> {
    const { host, credentials, signal } = this.#options;
    let found = this.#credentials.get(repository);
    if (!found) {
      found = credentials(host, repository, signal);
      this.#credentials.set(repository, found);
      found.catch(() => this.#credentials.delete(repository));
    }
    return found;
  }

  async #fetch(
    { values }: Challenge,
    scopes: readonly string[],
    access: Access,
    fresh: KnownToken,
  ): Promise<string> {
    const { client, host, isSecure, signal } = this.#options;
    const credential = await this.#credential(access);
    if (credential?.kind === 'bearer') return `Bearer ${credential.token}`;
    const text = values.realm ?? '';
    const realm = URL.canParse(text) ? new URL(text) : undefined;
    if (!realm || !/^https?:$/.test(realm.protocol)) {
      throw new RafsError('BACKEND', `the registry named an invalid token server '${text}'`, {
        registry: host,
      });
    }
    if (realm.protocol === 'http:' && isSecure() && credential) {
      throw new RafsError('BACKEND', 'credentials are not sent to a token server without TLS', {
        registry: host,
        url: shownUrl(realm),
      });
    }
    const { service } = values;
    const token = await fetchToken(client, { realm, service, scopes, credential, signal });
    fresh.until = performance.now() + token.lifetime * USABLE;
    if (token.identity !== undefined && credential?.kind === 'identity') {
      const next = Promise.resolve({ kind: 'identity', token: token.identity } as const);
      this.#credentials.set(access.repository, next);
    }
    return `Bearer ${token.token}`;
  }
}

const partsOf = (scope: string): [resource: string, actions: string] => {
  const colon = scope.lastIndexOf(':');
  return [scope.slice(0, colon), scope.slice(colon + 1)];
};

const isSameResource = (a: string, b: string): boolean => partsOf(a)[0] === partsOf(b)[0];

/** One scope for each resource, with all its actions, in order. */
export const mergeScopes = (scopes: readonly string[]): string[] => {
  const actions = new Map<string, Set<string>>();
  for (const [resource, list] of scopes.map(partsOf)) {
    const known = actions.get(resource) ?? new Set();
    for (const action of list.split(',')) known.add(action);
    actions.set(resource, known);
  }
  return [...actions]
    .map(([resource, known]) => `${resource}:${[...known].sort().join(',')}`)
    .sort();
};
