import fc from 'fast-check';
import t from 'tap';
import {
  parseBackend,
  parseCacheEntry,
  parseStorageConfig,
  BACKEND_TYPES,
  valueAt,
} from '../../../lib/config/backends.js';
import { failure } from '../../support/images/golden.js';

const HTTP = { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5 };

t.test('what has to be there, and what the rest is then', async t => {
  t.strictSame(parseBackend('localfs', { dir: '/blobs' }), {
    ...{ type: 'localfs', blobFile: '', dir: '/blobs', altDirs: [] },
  });
  t.strictSame(parseBackend('localdisk', { device_path: '/dev/vdb' }), {
    ...{ type: 'localdisk', devicePath: '/dev/vdb', disableGpt: false },
  });
  t.strictSame(parseBackend('http-proxy', { addr: '/run/socket' }), {
    ...{ type: 'http-proxy', addr: '/run/socket', path: '', http: HTTP },
  });
  t.strictSame(parseBackend('registry', { host: 'localhost:5000', repo: 'app' }), {
    type: 'registry',
    scheme: 'https',
    host: 'localhost:5000',
    repo: 'app',
    auth: '',
    registryToken: '',
    blobUrlScheme: '',
    blobRedirectedHost: '',
    http: HTTP,
  });
  const bucket = { endpoint: 'oss.example.com', bucket_name: 'b' };
  const parsed = {
    scheme: 'https',
    endpoint: 'oss.example.com',
    bucketName: 'b',
    objectPrefix: '',
    accessKeyId: '',
    accessKeySecret: '',
    http: HTTP,
  };
  t.strictSame(parseBackend('oss', bucket), { type: 'oss', ...parsed });
  const s3 = parseBackend('s3', { ...bucket, endpoint: '', region: 'eu-1' });
  t.match(s3, { type: 's3', region: 'eu-1', endpoint: 's3.amazonaws.com' }, 'that of Amazon');
});

t.test('all that may be there', async t => {
  const http = {
    skip_verify: true,
    ca_cert_files: ['/ca.pem'],
    timeout: 0,
    connect_timeout: 7,
    retry_limit: 3,
    proxy: {
      url: 'http://proxy:1',
      ping_url: 'http://proxy:1/ping',
      fallback: false,
      use_http: true,
    },
  };
  const registry = parseBackend('registry', {
    scheme: 'http',
    host: 'h',
    repo: '/library/app/',
    auth: 'dXNlcjpwYXNz\n',
    registry_token: 'token',
    blob_url_scheme: 'http',
    blob_redirected_host: 'other:1',
    ...http,
  });
  t.strictSame(registry, {
    type: 'registry',
    scheme: 'http',
    host: 'h',
    repo: 'library/app',
    auth: 'dXNlcjpwYXNz',
    registryToken: 'token',
    blobUrlScheme: 'http',
    blobRedirectedHost: 'other:1',
    http: {
      skipVerify: true,
      caCertFiles: ['/ca.pem'],
      timeout: 0,
      connectTimeout: 7,
      proxy: {
        url: 'http://proxy:1',
        pingUrl: 'http://proxy:1/ping',
        fallback: false,
        useHttp: true,
      },
    },
  });
  const oss = parseBackend('oss', {
    endpoint: 'e',
    bucket_name: 'b',
    object_prefix: 'layers/',
    access_key_id: 'i',
    access_key_secret: 's',
    scheme: 'http',
    proxy: { url: '' },
    timeout: 2n ** 60n,
    auth: null,
  });
  const keys = { objectPrefix: 'layers/', accessKeyId: 'i', accessKeySecret: 's', scheme: 'http' };
  t.match(oss, { ...keys, http: { timeout: 86_400, proxy: undefined } });
});

/** Wrong ones, and what is said of each. */
const WRONG: readonly (readonly [string, unknown, RegExp])[] = [
  ['ftp', {}, /unsupported backend type 'ftp'/],
  ['s3', undefined, /must be an object/],
  ['s3', [], /must be an object/],
  ['localfs', {}, /neither 'blob_file' nor 'dir'/],
  ['localfs', { dir: '/', alt_dirs: [1] }, /'alt_dirs' must be a list of strings/],
  ['localdisk', {}, /missing field `device_path`/],
  ['localdisk', { device_path: '' }, /'device_path' is empty/],
  ['localdisk', { device_path: 'x', disable_gpt: 'yes' }, /'disable_gpt' must be true or false/],
  ['oss', {}, /missing field `endpoint`/],
  ['oss', { endpoint: 'e' }, /missing field `bucket_name`/],
  ['s3', { endpoint: 'e', bucket_name: 'b' }, /missing field `region`/],
  ['oss', { endpoint: 'e/path', bucket_name: 'b' }, /'endpoint' must be a host/],
  ['oss', { endpoint: 'user@e', bucket_name: 'b' }, /'endpoint' must be a host/],
  ['registry', { host: 'h' }, /missing field `repo`/],
  ['registry', { host: 'h:port', repo: 'r' }, /'host' must be a host/],
  ['registry', { host: 7, repo: 'r' }, /'host' must be a string/],
  ['registry', { host: 'h', repo: 'r', auth: 'user:pass' }, /'auth' must be the base64/],
  ['registry', { host: 'h', repo: 'r', scheme: 'ftp' }, /'scheme' must be 'http' or 'https'/],
  ['registry', { host: 'h', repo: 'r', timeout: -1 }, /'timeout' must be a number of seconds/],
  ['registry', { host: 'h', repo: 'r', timeout: NaN }, /'timeout' must be a number of seconds/],
  ['registry', { host: 'h', repo: 'r', proxy: { url: 'proxy:1' } }, /'proxy.url' must be/],
  ['http-proxy', {}, /missing field `addr`/],
  ['http-proxy', { addr: 'ftp://x' }, /'addr' must be the address of a web server/],
  ['http-proxy', { addr: 'socket' }, /'addr' must be the address of a web server/],
  ['http-proxy', { addr: 'http://x', path: 'blobs' }, /'path' must be a path that starts/],
];

t.test('what is wrong is named, and no secret is shown', async t => {
  for (const [type, config, message] of WRONG) {
    const error = failure(() => parseBackend(type, config));
    t.match(error, { code: 'UNSUPPORTED', message }, `${type}: ${message}`);
  }
  const auth = failure(() => parseBackend('registry', { host: 'h', repo: 'r', auth: 'secret' }));
  t.notMatch(auth?.message, /secret/);
});

t.test('anything else is a backend, or refused', async () => {
  const key = fc.constantFrom(
    ...['addr', 'host', 'repo', 'endpoint', 'bucket_name', 'region', 'dir', 'device_path'],
    ...['timeout', 'proxy', 'auth', 'scheme', 'ca_cert_files', '__proto__', 'constructor'],
  );
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom('h', 'http://h', '/p', 5, true));
  fc.assert(
    fc.property(fc.constantFrom(...BACKEND_TYPES), fc.dictionary(key, value), (type, config) => {
      const error = failure(() => parseBackend(type, config));
      return error === undefined || error.code === 'UNSUPPORTED';
    }),
  );
  fc.assert(
    fc.property(fc.jsonValue(), config => {
      for (const parse of [parseStorageConfig, parseCacheEntry]) {
        const error = failure(() => parse(config));
        if (error && error.code !== 'UNSUPPORTED') return false;
      }
      return true;
    }),
  );
});

t.test('whole configurations, of both generations', async t => {
  t.strictSame(parseStorageConfig({ version: 2 }), { validate: false });
  const localfs = { dir: '/blobs' };
  const backend = parseBackend('localfs', localfs);
  t.strictSame(
    parseStorageConfig({
      version: 2,
      backend: { type: 'localfs', localfs },
      cache: { validate: true },
    }),
    { validate: true, backend },
  );
  t.strictSame(
    parseStorageConfig({
      version: 2,
      backend: { type: 'localfs', localfs },
      rafs: { mode: 'direct', validate: true },
    }),
    { validate: true, backend },
  );
  t.strictSame(
    parseStorageConfig({
      device: { backend: { type: 'localfs', config: localfs }, cache: { validate: false } },
      mode: 'direct',
    }),
    { validate: false, backend },
  );
  t.strictSame(
    parseStorageConfig({
      device: { backend: { type: 'localfs', config: localfs }, cache: { validate: true } },
    }),
    { validate: true, backend },
  );
  t.match(parseStorageConfig({ device: {}, digest_validate: true }), { validate: true });
  for (const [config, message] of [
    [{}, /failed to parse configuration information/],
    [{ version: 1 }, /failed to parse configuration information/],
    [[], /failed to parse configuration information/],
    [{ version: 2, backend: {} }, /missing field `type`/],
    [{ version: 2, backend: { type: 's3' } }, /backend 's3' is not described/],
    [{ version: 2, backend: { type: 'x' } }, /unsupported backend type 'x'/],
    [{ version: 2, backend: { type: 'localfs', config: localfs } }, /is not described/],
  ] as const) {
    t.match(
      failure(() => parseStorageConfig(config)),
      { code: 'UNSUPPORTED', message },
    );
  }
});

t.test('entries of a blob cache', async t => {
  const localfs = { dir: '/blobs' };
  const due = { metadataPath: '/boot', backend: parseBackend('localfs', localfs) };
  const second = { backend: { type: 'localfs', localfs }, metadata_path: '/boot' };
  t.strictSame(parseCacheEntry({ type: 'bootstrap', config_v2: second }), due);
  const first = { backend_type: 'localfs', backend_config: localfs, metadata_path: '/boot' };
  t.strictSame(parseCacheEntry({ type: 'bootstrap', config: first }), due);
  for (const [entry, message] of [
    [{ type: 'datablob', config: first }, /expected a cache entry of type 'bootstrap'/],
    [{ type: 'bootstrap' }, /missing field `backend_type`/],
    [{ type: 'bootstrap', config: { ...first, metadata_path: '' } }, /'metadata_path' is empty/],
    [
      { type: 'bootstrap', config_v2: { backend: second.backend } },
      /missing field `metadata_path`/,
    ],
  ] as const) {
    t.match(
      failure(() => parseCacheEntry(entry)),
      { code: 'UNSUPPORTED', message },
    );
  }
});

t.test('a key of an object is its own', async t => {
  t.equal(valueAt({ a: 1 }, 'a'), 1);
  t.equal(valueAt({ a: null }, 'a'), undefined);
  for (const value of [{}, [1], 'text', null, undefined]) {
    t.equal(valueAt(value, 'toString'), undefined);
    t.equal(valueAt(value, '0'), undefined);
  }
});
