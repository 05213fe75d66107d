/**
 * Which proxy the environment wants for a URL, by the rules of Go's net/http, which are those of
 * the programs beside us: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in either case. A server on
 * this machine is never asked through a proxy.
 */
import { RafsError } from '../errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The proxy's URL, perhaps with a user and a password; undefined to ask the server itself. */
export const environmentProxy = (url: URL, environment: Environment): URL | undefined => {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const value = valueOf(environment, name);
  if (value === '' || isLoopback(url.hostname)) return undefined;
  if (isExcluded(url, valueOf(environment, 'NO_PROXY'))) return undefined;
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  if (!URL.canParse(text) || new URL(text).hostname === '') {
    throw new RafsError('UNSUPPORTED', `invalid proxy address in ${name}`);
  }
  const proxy = new URL(text);
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') {
    throw new RafsError(
      'UNSUPPORTED',
      `unsupported proxy protocol '${proxy.protocol}//' in ${name}`,
    );
  }
  return proxy;
};

const valueOf = (environment: Environment, name: string): string =>
  (environment[name] || environment[name.toLowerCase()] || '').trim();

/** Whether a host, as a URL has it, is this machine itself. */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' ||
  hostname.endsWith('.localhost') ||
  hostname === '[::1]' ||
  /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(hostname);

/** Whether an entry of NO_PROXY matches: `*`, a host or its domain, either with a port, a network. */
const isExcluded = ({ hostname, port, protocol }: URL, list: string): boolean => {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const asked = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
  for (const item of list.toLowerCase().split(',')) {
    const entry = item.trim();
    if (entry === '') continue;
    if (entry === '*') return true;
    const network = /^([0-9.]+)\/([0-9]+)$/.exec(entry);
    if (network) {
      if (isInNetwork(host, network[1]!, Number(network[2]))) return true;
      continue;
    }
    const [, name = '', wanted] = /^\[?(.*?)\]?(?::([0-9]+))?$/.exec(
      /:.*:/.test(entry) && !entry.startsWith('[') ? `[${entry}]` : entry,
    )!; // matches any text of one line
    if (wanted !== undefined && wanted !== asked) continue;
    const bare = name.replace(/^\*?\./, '');
    if (host.endsWith(`.${bare}`) || (host === bare && bare === name)) return true;
  }
  return false;
};

const addressOf = (text: string): number | undefined => {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every(part => /^[0-9]{1,3}$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
};

const isInNetwork = (host: string, network: string, bits: number): boolean => {
  const address = addressOf(host);
  const first = addressOf(network);
  if (address === undefined || first === undefined || bits > 32) return false;
  const size = 2 ** (32 - bits);
  return Math.floor(address / size) === Math.floor(first / size);
};
