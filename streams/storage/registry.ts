/**
 * Blobs of a repository in a registry, by the client of `registry/`. Where the registry redirects to
 * is remembered, so that it is asked once for all ranges of a blob.
 */
import type { RegistryBackend } from '../../lib/config/backends.js';
import { RafsError } from '../../lib/errors.js';
import type { Credential } from '../../lib/oci/auth-file.js';
import { isTlsFailure, shownUrl, type HttpAnswer } from '../http/answer.js';
import { pullScope, Registry, type RegistryOptions } from '../registry/client.js';
import { RemoteStorage, type BlobRequest } from './remote-storage.js';
import type { Storage } from './storage.js';

export const registry = (backend: RegistryBackend): Storage => {
  const blobs = new RegistryBlobs(backend);
  return new RemoteStorage(blobs, request => blobs.ask(request));
};

/** Statuses that are answers: HEAD may be refused where GET is not, and a blob may be empty. */
const ANSWERS = { HEAD: [400, 403, 405, 501], GET: [416] } as const;
/** From an address that is no longer good. */
const EXPIRED: readonly number[] = [401, 403];

class RegistryBlobs {
  readonly #backend: RegistryBackend;
  readonly #elsewhere = new Map<string, URL>(); // redirect targets by id
  #users = 0;
  #registry: Registry | undefined;

  constructor(backend: RegistryBackend) {
    this.#backend = backend;
  }

  acquire(): void {
    this.#users += 1;
  }

  async release(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    const opened = this.#registry;
    this.#registry = undefined;
    await opened?.close();
  }

  /** One attempt. */
  async ask(request: BlobRequest): Promise<HttpAnswer> {
    const { id, method } = request;
    const known = method === 'GET' ? this.#elsewhere.get(id) : undefined;
    if (known) {
      const answer = await this.#send(request, known);
      if (!EXPIRED.includes(answer.status)) return answer;
      this.#elsewhere.delete(id);
    }
    let target: URL | undefined;
    const answer = await this.#send(
      request,
      `blobs/sha256:${encodeURIComponent(id)}`,
      url => (target = url),
    );
    if (target && answer.status < 300 && method === 'GET') this.#elsewhere.set(id, target);
    return answer;
  }

  async #send(
    { method, range, limit, signal }: BlobRequest,
    path: string | URL,
    onRedirect?: (url: URL) => void,
  ): Promise<HttpAnswer> {
    const { repo } = this.#backend;
    this.#registry ??= new Registry(optionsOf(this.#backend));
    try {
      return await this.#registry.askOnce({
        method,
        repository: repo,
        path,
        scopes: [pullScope(repo)],
        headers: range === undefined ? {} : { range },
        accept: typeof path === 'string' ? ANSWERS[method] : [...ANSWERS[method], ...EXPIRED],
        ...(onRedirect ? { onRedirect } : {}),
        limit,
        signal,
      });
    } catch (error) {
      if (!needsTls(this.#backend) || !isTlsFailure(error)) throw error;
      const text = 'the registry does not speak TLS, and credentials are not sent without it';
      throw new RafsError('BACKEND', text, { registry: this.#backend.host }, { cause: error });
    }
  }
}

/** Whether a registry that may do without TLS has to have it: `auth` is sent to who asks for it. */
const needsTls = ({ scheme, auth, registryToken, http }: RegistryBackend): boolean =>
  scheme === 'https' && http.skipVerify && (auth !== '' || registryToken !== '');

const optionsOf = (backend: RegistryBackend): RegistryOptions => {
  const { scheme, host, auth, registryToken, http } = backend;
  const mayBePlain = scheme === 'https' && http.skipVerify && !needsTls(backend);
  const credential = credentialIn(auth);
  return {
    host,
    http,
    insecure: http.skipVerify,
    ...(mayBePlain ? {} : { scheme }),
    ...(registryToken === '' ? {} : { token: registryToken }),
    credentials: () => Promise.resolve(credential),
    // the configuration names all of them
    certificates: () => Promise.resolve({ caCertFiles: [] }),
    ...redirectsOf(backend),
  };
};

const credentialIn = (auth: string): Credential | undefined => {
  if (auth === '') return undefined;
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) };
};

/** Parts of the address that a registry redirects to may be given. */
const redirectsOf = (backend: RegistryBackend): Pick<RegistryOptions, 'redirectTo'> => {
  const { blobUrlScheme, blobRedirectedHost, scheme, http } = backend;
  if (blobUrlScheme === '' && blobRedirectedHost === '') return {};
  return {
    redirectTo(url) {
      const target = new URL(url);
      if (blobUrlScheme !== '') target.protocol = `${blobUrlScheme}:`;
      if (blobRedirectedHost !== '') target.host = blobRedirectedHost;
      const loses = scheme === 'https' && target.protocol === 'http:';
      if (loses && blobUrlScheme !== 'http' && !http.skipVerify) {
        const text = `the registry redirected from https to ${shownUrl(target)}`;
        throw new RafsError('BACKEND', text);
      }
      return target;
    },
  };
};
