/**
 * Settings of storage backends, from configuration files and the command line: JSON or TOML values,
 * of either generation of the format, turned into one complete and checked description.
 *
 * Every failure is UNSUPPORTED, in the words of nydus-image if those are one sentence.
 */
import { RafsError } from '../errors.js';

export interface ProxySettings {
  url: string;
  /** answers 200 to 399 while the proxy can be used; '' if there is none */
  pingUrl: string;
  /** ask the storage itself if the proxy fails */
  fallback: boolean;
  /** ask the proxy for http even if the storage uses https */
  useHttp: boolean;
}

export interface HttpSettings {
  /** do not verify certificates */
  skipVerify: boolean;
  caCertFiles: readonly string[];
  /** seconds of inactivity; 0 waits forever */
  timeout: number;
  /** seconds; 0 waits forever */
  connectTimeout: number;
  proxy?: ProxySettings;
}

export type Scheme = 'http' | 'https';

export interface LocalFsBackend {
  type: 'localfs';
  /** one file that stands for every blob; '' if there is none */
  blobFile: string;
  dir: string;
  /** searched for blobs that are missing from `dir`, or empty there */
  altDirs: readonly string[];
}

export interface LocalDiskBackend {
  type: 'localdisk';
  devicePath: string;
  disableGpt: boolean;
}

export interface HttpProxyBackend {
  type: 'http-proxy';
  /** URL, or absolute path of a socket */
  addr: string;
  path: string;
  http: HttpSettings;
}

export interface RegistryBackend {
  type: 'registry';
  scheme: Scheme;
  host: string;
  repo: string;
  /** base64 of user:password; '' for anonymous access */
  auth: string;
  registryToken: string;
  /** replace those of the address that a registry redirects to; '' keeps them */
  blobUrlScheme: Scheme | '';
  blobRedirectedHost: string;
  http: HttpSettings;
}

/** What S3 and OSS need to know of a bucket. */
export interface BucketSettings {
  scheme: Scheme;
  endpoint: string;
  bucketName: string;
  /** put before the id of a blob */
  objectPrefix: string;
  accessKeyId: string;
  accessKeySecret: string;
  http: HttpSettings;
}

export interface OssBackend extends BucketSettings {
  type: 'oss';
}

export interface S3Backend extends BucketSettings {
  type: 's3';
  region: string;
  /** goes with keys that hold for a while */
  sessionToken?: string;
}

export type BucketBackend = OssBackend | S3Backend;

export type Backend =
  LocalFsBackend | LocalDiskBackend | HttpProxyBackend | RegistryBackend | BucketBackend;

export interface StorageConfig {
  backend?: Backend;
  /** whether data are to be verified */
  validate: boolean;
}

/** Parses a whole configuration: of generation 2, or of the one before, which has a `device`. */
export const parseStorageConfig = (config: unknown): StorageConfig => {
  const second = valueAt(config, 'version') === 2;
  const device = valueAt(config, 'device');
  if (!second && device === undefined) {
    throw unusable('failed to parse configuration information');
  }
  const asked = [
    valueAt(valueAt(config, 'cache'), 'validate'),
    valueAt(valueAt(config, 'rafs'), 'validate'),
    valueAt(valueAt(device, 'cache'), 'validate'),
    valueAt(config, 'digest_validate'),
  ];
  const validate = asked.includes(true);
  const wrapped = second ? valueAt(config, 'backend') : valueAt(device, 'backend');
  if (wrapped === undefined) return { validate };
  return { validate, backend: parseWrapped(wrapped, second) };
};

export interface CacheEntry {
  /** path of the bootstrap */
  metadataPath: string;
  backend: Backend;
}

/** Parses an entry of a daemon's blob cache, which describes one image; of either generation. */
export const parseCacheEntry = (entry: unknown): CacheEntry => {
  if (textAt(entry, 'type') !== 'bootstrap')
    throw unusable("expected a cache entry of type 'bootstrap'");
  const config = valueAt(entry, 'config_v2');
  if (config !== undefined) {
    const backend = parseWrapped(valueAt(config, 'backend'), true);
    return { metadataPath: notEmpty(config, 'metadata_path'), backend };
  }
  const first = valueAt(entry, 'config');
  const backend = parseBackend(textAt(first, 'backend_type'), valueAt(first, 'backend_config'));
  return { metadataPath: notEmpty(first, 'metadata_path'), backend };
};

/** `{type, localfs}` of generation 2, `{type, config}` of the one before. */
const parseWrapped = (wrapped: unknown, second: boolean): Backend => {
  const type = textAt(wrapped, 'type');
  const inner = valueAt(wrapped, second ? type : 'config');
  if (inner === undefined && isType(type)) {
    throw unusable(`invalid configuration: backend '${type}' is not described`);
  }
  return parseBackend(type, inner);
};

/** How the settings of each type of storage are read; whoever adds a type adds its row. */
const READERS: {
  readonly [Type in Backend['type']]: (
    config: unknown,
    type: Type,
  ) => Extract<Backend, { type: Type }>;
} = {
  oss: (config, type) => ({ type, endpoint: hostAt(config, 'endpoint'), ...bucketAt(config) }),
  s3(config, type) {
    const sessionToken = textAt(config, 'session_token', '');
    return {
      type,
      endpoint: textAt(config, 'endpoint') === '' ? AMAZON : hostAt(config, 'endpoint'),
      region: notEmpty(config, 'region'),
      ...bucketAt(config),
      ...(sessionToken === '' ? {} : { sessionToken }),
    };
  },
  registry: (config, type) => ({
    type,
    scheme: schemeAt(config, 'scheme', 'https'),
    host: hostAt(config, 'host'),
    repo: notEmpty(config, 'repo').replace(/^\/+|\/+$/g, ''),
    auth: loginAt(config),
    registryToken: textAt(config, 'registry_token', ''),
    blobUrlScheme: schemeAt(config, 'blob_url_scheme', ''),
    blobRedirectedHost: textAt(config, 'blob_redirected_host', ''),
    http: httpSettings(config),
  }),
  localdisk: (config, type) => ({
    type,
    devicePath: notEmpty(config, 'device_path'),
    disableGpt: flagAt(config, 'disable_gpt', false),
  }),
  'http-proxy': (config, type) => ({
    type,
    addr: addressAt(config),
    path: pathAt(config),
    http: httpSettings(config),
  }),
  localfs(config, type) {
    const blobFile = textAt(config, 'blob_file', '');
    const dir = textAt(config, 'dir', '');
    if (blobFile === '' && dir === '') {
      throw unusable("invalid configuration: localfs has neither 'blob_file' nor 'dir'");
    }
    return { type, blobFile, dir, altDirs: textsAt(config, 'alt_dirs') };
  },
};

/** Names of the types of storages. */
export const BACKEND_TYPES = Object.keys(READERS) as Backend['type'][]; // its own keys

const isType = (text: string): text is Backend['type'] => Object.hasOwn(READERS, text);

/** Parses the bare settings object of one storage. */
export const parseBackend = (type: string, config: unknown): Backend => {
  if (!isType(type)) throw unusable(`unsupported backend type '${type}'`);
  if (!isObject(config)) {
    throw unusable(`invalid configuration: backend '${type}' must be an object`);
  }
  return read(type, config);
};

const read = <Type extends Backend['type']>(type: Type, config: unknown): Backend =>
  READERS[type](config, type);

/** What the settings of buckets have in common. */
const bucketAt = (config: unknown): Omit<BucketSettings, 'endpoint'> => ({
  scheme: schemeAt(config, 'scheme', 'https'),
  bucketName: notEmpty(config, 'bucket_name'),
  objectPrefix: textAt(config, 'object_prefix', ''),
  accessKeyId: textAt(config, 'access_key_id', ''),
  accessKeySecret: textAt(config, 'access_key_secret', ''),
  http: httpSettings(config),
});

const AMAZON = 's3.amazonaws.com';

const httpSettings = (config: unknown): HttpSettings => {
  const proxy = valueAt(config, 'proxy');
  const url = proxy === undefined ? '' : textAt(proxy, 'url', '');
  return {
    skipVerify: flagAt(config, 'skip_verify', false),
    caCertFiles: textsAt(config, 'ca_cert_files'),
    timeout: secondsAt(config, 'timeout'),
    connectTimeout: secondsAt(config, 'connect_timeout'),
    ...(url === ''
      ? {}
      : {
          proxy: {
            url: webAddress(url, 'proxy.url'),
            pingUrl: textAt(proxy, 'ping_url', ''),
            fallback: flagAt(proxy, 'fallback', true),
            useHttp: flagAt(proxy, 'use_http', false),
          },
        }),
  };
};

const SECONDS = 5;
/** A day: anything longer is as good as forever, and timers have a limit of their own. */
const MOST_SECONDS = 86_400;

const secondsAt = (config: unknown, key: string): number => {
  const value = valueAt(config, key) ?? SECONDS;
  if (typeof value === 'bigint' && value >= 0n) return MOST_SECONDS; // a large integer in TOML
  if (typeof value !== 'number' || !(value >= 0)) throw wrongType(key, 'a number of seconds');
  return Math.min(value, MOST_SECONDS);
};

const schemeAt = <None extends Scheme | ''>(
  config: unknown,
  key: string,
  none: None,
): Scheme | None => {
  const scheme = textAt(config, key, none);
  if (scheme === '') return none;
  if (scheme !== 'http' && scheme !== 'https') throw wrongType(key, "'http' or 'https'");
  return scheme;
};

const hostAt = (config: unknown, key: string): string => {
  const host = notEmpty(config, key);
  // a character that ends a host would turn what follows into another part of the address
  if (/[\s/?#@\\]/.test(host) || !URL.canParse(`http://${host}`)) throw wrongType(key, 'a host');
  return host;
};

const addressAt = (config: unknown): string => {
  const addr = notEmpty(config, 'addr');
  return addr.startsWith('/') ? addr : webAddress(addr, 'addr');
};

const webAddress = (text: string, key: string): string => {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) {
    throw wrongType(key, 'the address of a web server');
  }
  return text;
};

const pathAt = (config: unknown): string => {
  const path = textAt(config, 'path', '');
  if (path !== '' && !path.startsWith('/')) throw wrongType('path', "a path that starts with '/'");
  return path;
};

const loginAt = (config: unknown): string => {
  const auth = textAt(config, 'auth', '').trim();
  if (auth !== '' && !Buffer.from(auth, 'base64').includes(':')) {
    throw wrongType('auth', 'the base64 of user:password');
  }
  return auth;
};

const notEmpty = (config: unknown, key: string): string => {
  const text = textAt(config, key);
  if (text === '') throw unusable(`invalid configuration: '${key}' is empty`);
  return text;
};

/** A string; required unless there is a default, `none`. */
const textAt = (config: unknown, key: string, none?: string): string => {
  const value = valueAt(config, key) ?? none;
  if (value === undefined) throw unusable(`missing field \`${key}\``);
  if (typeof value !== 'string') throw wrongType(key, 'a string');
  return value;
};

const textsAt = (config: unknown, key: string): readonly string[] => {
  const value = valueAt(config, key) ?? [];
  const isText = (item: unknown): item is string => typeof item === 'string';
  if (!Array.isArray(value) || !value.every(isText)) throw wrongType(key, 'a list of strings');
  return value;
};

const flagAt = (config: unknown, key: string, none: boolean): boolean => {
  const value = valueAt(config, key) ?? none;
  if (typeof value !== 'boolean') throw wrongType(key, 'true or false');
  return value;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value of a key; undefined if `value` is no object, or the key is missing or null. */
export const valueAt = (value: unknown, key: string): unknown =>
  isObject(value) && Object.hasOwn(value, key) ? (value[key] ?? undefined) : undefined;

const wrongType = (key: string, what: string): RafsError =>
  unusable(`invalid configuration: '${key}' must be ${what}`);

const unusable = (message: string): RafsError => new RafsError('UNSUPPORTED', message);
