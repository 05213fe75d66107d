/** `config.json` of Docker and `auth.json` of containers/image, and what credential helpers say. */
import { RafsError } from '../errors.js';

export type Credential =
  | { kind: 'password'; username: string; password: string }
  /** a refresh token, exchanged for tokens at the token server */
  | { kind: 'identity'; token: string }
  /** a token that the registry takes as it is */
  | { kind: 'bearer'; token: string };

export interface AuthFile {
  auths: ReadonlyMap<string, Credential>;
  /** helpers by registry */
  helpers: ReadonlyMap<string, string>;
  /** the helper for all other registries */
  store?: string;
}

/** What Docker Hub is called where passwords are kept. */
const HUB_SERVER = 'https://index.docker.io/v1/';
const HUB_NAMES: readonly string[] = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];
/** The user name that says that the password is an identity token. */
const TOKEN_USER = '<token>';

export const parseAuthFile = (bytes: Buffer, file: string): AuthFile => {
  const refuse = (what: string): RafsError =>
    new RafsError('UNSUPPORTED', `invalid credentials file: ${what}`, { file });
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw refuse('it is not JSON');
  }
  if (!isObject(value)) throw refuse('expected an object');
  const auths = new Map<string, Credential>();
  for (const [key, entry] of Object.entries(isObject(value.auths) ? value.auths : {})) {
    const credential = isObject(entry) ? credentialOf(entry) : undefined;
    if (credential) auths.set(normalKey(key), credential);
  }
  const helpers = new Map<string, string>();
  for (const [key, name] of Object.entries(isObject(value.credHelpers) ? value.credHelpers : {})) {
    if (typeof name !== 'string' || !isHelperName(name)) {
      throw refuse(`the helper of '${key}' is not a program's name`);
    }
    helpers.set(normalKey(key), name);
  }
  const { credsStore } = value;
  if (credsStore === undefined || credsStore === '') return { auths, helpers };
  if (typeof credsStore !== 'string' || !isHelperName(credsStore)) {
    throw refuse("'credsStore' is not a program's name");
  }
  return { auths, helpers, store: credsStore };
};

/** What follows `docker-credential-`: never a path. */
const isHelperName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const credentialOf = (entry: Record<string, unknown>): Credential | undefined => {
  const [identity, bearer] = [textOf(entry.identitytoken), textOf(entry.registrytoken)];
  if (identity !== '') return { kind: 'identity', token: identity };
  if (bearer !== '') return { kind: 'bearer', token: bearer };
  const login = Buffer.from(textOf(entry.auth), 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = login.indexOf(':');
  if (colon > 0) return password(login.slice(0, colon), login.slice(colon + 1));
  const username = textOf(entry.username);
  return username === '' ? undefined : password(username, textOf(entry.password));
};

const password = (username: string, secret: string): Credential =>
  username === TOKEN_USER
    ? { kind: 'identity', token: secret }
    : { kind: 'password', username, password: secret };

/** `https://host/v1/` is `host`; names of Docker Hub are one; a path of a repository stays. */
const normalKey = (key: string): string => {
  const bare = key.replace(/^https?:\/\//i, '').replace(/\/(?:v[12]\/?)?$/, '');
  const slash = bare.indexOf('/');
  const host = slash < 0 ? bare : bare.slice(0, slash);
  const path = slash < 0 ? '' : bare.slice(slash);
  return `${HUB_NAMES.includes(host) ? 'docker.io' : host}${path}`;
};

/** The entry of the repository, of the longest path that leads to it, or of its host. */
export const credentialIn = (
  { auths }: AuthFile,
  host: string,
  repository: string,
): Credential | undefined => {
  for (let key = normalKey(`${host}/${repository}`); ; key = key.slice(0, key.lastIndexOf('/'))) {
    const credential = auths.get(key);
    if (credential || !key.includes('/')) return credential;
  }
};

export const helperOf = ({ helpers, store }: AuthFile, host: string): string | undefined =>
  helpers.get(normalKey(host)) ?? store;

/** What a helper is asked for. */
export const helperServer = (host: string): string =>
  HUB_NAMES.includes(host) ? HUB_SERVER : host;

/** What a helper printed: `{"Username", "Secret"}`, or that it knows nothing. */
export const helperAnswer = (output: Buffer, ok: boolean): Credential | 'unknown' | 'invalid' => {
  const text = output.toString('utf8').trim();
  if (!ok) return /credentials not found|no credentials/i.test(text) ? 'unknown' : 'invalid';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'invalid';
  }
  if (!isObject(value)) return 'invalid';
  const [username, secret] = [textOf(value.Username), textOf(value.Secret)];
  if (username === '' && secret === '') return 'unknown';
  return password(username === '' ? TOKEN_USER : username, secret);
};
