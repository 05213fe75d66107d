/**
 * The connections of an HTTP client: directly, to a Unix socket, or through a proxy, with the
 * certificates that each may show and must see. They are opened when they are needed first.
 */
import type { SecureContext } from 'node:tls';
import { Agent, ProxyAgent, type Dispatcher } from 'undici';
import type { HttpSettings } from '../../lib/config/backends.js';
import { RafsError } from '../../lib/errors.js';
import { readSmallFile } from '../io/small-file.js';

const KEEP_ALIVE_MS = 4_000;

/** A certificate to show, and its key. */
export interface ClientCertificate {
  certFile: string;
  keyFile: string;
}

export interface ConnectionOptions {
  http: HttpSettings;
  /** talk to this socket, whatever the URL's host */
  socketPath?: string;
  /** at most so many to a server */
  connections?: number;
  clientCertificate?: ClientCertificate;
  /** the only server that the certificate is shown to: `host:port` */
  host?: string;
}

export class Connections {
  readonly #options: ConnectionOptions;
  readonly #agents = new Map<string, Promise<Dispatcher>>();
  readonly #contexts = new Map<boolean, Promise<SecureContext>>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** How to reach a server; through a tunnel if there is a proxy. */
  to(url: URL, proxy?: URL): Promise<Dispatcher> {
    const { clientCertificate, host } = this.#options;
    const secure = url.protocol === 'https:' || proxy?.protocol === 'https:';
    const showing = secure && clientCertificate !== undefined && isServer(url, host);
    const key = `${secure} ${showing} ${proxy?.href ?? ''}`;
    let agent = this.#agents.get(key);
    if (!agent) this.#agents.set(key, (agent = this.#connect(secure, showing, proxy)));
    return agent;
  }

  async close(): Promise<void> {
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    // one that could not be made was told to the request that needed it
    await Promise.allSettled(agents.map(async agent => (await agent).destroy()));
  }

  async #connect(secure: boolean, showing: boolean, proxy: URL | undefined): Promise<Dispatcher> {
    const { http, socketPath, connections } = this.#options;
    const milliseconds = (seconds: number): number => Math.ceil(seconds * 1000);
    const common = {
      headersTimeout: milliseconds(http.timeout),
      bodyTimeout: milliseconds(http.timeout),
      keepAliveTimeout: KEEP_ALIVE_MS,
      pipelining: 1,
      ...(connections === undefined ? {} : { connections }),
    };
    const connect = {
      rejectUnauthorized: !http.skipVerify,
      ...(secure ? { secureContext: await this.#context(showing) } : {}),
      timeout: milliseconds(http.connectTimeout),
      ...(socketPath === undefined ? {} : { socketPath }),
    };
    if (!proxy) return new Agent({ ...common, connect });
    const token = loginIn(proxy);
    return new ProxyAgent({
      ...common,
      uri: proxy.origin,
      requestTls: connect,
      proxyTls: connect,
      ...(token === undefined ? {} : { token }),
    });
  }

  /** Made once: it holds some hundred certificates. */
  #context(showing: boolean): Promise<SecureContext> {
    let context = this.#contexts.get(showing);
    if (!context) this.#contexts.set(showing, (context = this.#makeContext(showing)));
    return context;
  }

  async #makeContext(showing: boolean): Promise<SecureContext> {
    const { http, clientCertificate } = this.#options;
    const extra = await Promise.all(http.caCertFiles.map(readCertificate));
    const { createSecureContext, rootCertificates } = await import('node:tls');
    const shown = showing ? clientCertificate : undefined;
    // the given certificates add to the built-in ones and to those of the system
    const ca = [...rootCertificates, ...(await systemCertificates()), ...extra];
    const pair = shown && {
      cert: await readCertificate(shown.certFile),
      key: await readCertificate(shown.keyFile),
    };
    try {
      return createSecureContext({ ca, ...pair });
    } catch (cause) {
      const file = shown?.certFile ?? http.caCertFiles.join(' ');
      throw new RafsError('UNSUPPORTED', 'invalid certificate', { file }, { cause });
    }
  }
}

const readCertificate = async (file: string): Promise<Buffer> => {
  try {
    return await readSmallFile(file);
  } catch (cause) {
    // not a bare system error: ENOENT would mean that a blob is missing
    throw new RafsError('UNSUPPORTED', 'cannot read certificates', { file }, { cause });
  }
};

/** Where systems keep the certificates that they trust, unless SSL_CERT_FILE says otherwise. */
const SYSTEM_FILES: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

const systemCertificates = async (): Promise<string[]> => {
  const { rootCertificates } = await import('node:tls');
  const known = new Set(rootCertificates.map(text => text.trim()));
  const { SSL_CERT_FILE: given } = process.env;
  for (const file of given ? [given] : SYSTEM_FILES) {
    const bytes = await readSmallFile(file).catch(() => undefined); // the next may be there
    if (bytes === undefined) continue;
    const text = bytes.toString('latin1');
    const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    return found.filter(certificate => !known.has(certificate));
  }
  return [];
};

/** Whether a URL leads to `host:port`; without one, all do. */
export const isServer = (url: URL, host: string | undefined): boolean =>
  host === undefined || new URL(`${url.protocol}//${host}`).host === url.host;

/** The user and password in a URL, as the value of an authorization header. */
export const loginIn = ({ username, password }: URL): string | undefined => {
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
