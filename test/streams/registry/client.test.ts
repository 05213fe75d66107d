/** The client against a door of tokens, redirects and faults, with a registry that is not ours. */
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { Credential } from '../../../lib/oci/auth-file.js';
import { openBlob } from '../../../streams/registry/blob-download.js';
import { headBlob, uploadBlob } from '../../../streams/registry/blob-upload.js';
import { Registry, type RegistryOptions } from '../../../streams/registry/client.js';
import { mountBlob } from '../../../streams/registry/mount.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { faultProxy } from '../../support/servers/fault-proxy.js';
import { sendBytes, serve, type Handler } from '../../support/servers/http.js';
import { startRegistry, withoutRegistry } from '../../support/servers/storage-servers.js';
import { tokenServer, type TokenServerOptions } from '../../support/servers/token-server.js';

const BLOB = Buffer.from('bytes of a blob');
const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const digest = digestOf(BLOB);
const PASSWORD: Credential = { kind: 'password', username: 'user', password: 'pass' };
const { signal } = new AbortController();

async function* bytes(): AsyncGenerator<Buffer> {
  yield BLOB;
}

const registryAt = (t: Test, host: string, more: Partial<RegistryOptions> = {}) => {
  const none = async (): Promise<undefined> => undefined;
  const registry = new Registry({
    ...{ host, credentials: none, pauses: [1, 1], certificates: async () => ({ caCertFiles: [] }) },
    ...more,
  });
  t.teardown(() => registry.close());
  return { registry, name: 'some/app' };
};

const skip = withoutRegistry();

/** A registry behind a door of tokens. */
const guarded = async (t: Test, options: TokenServerOptions, credential?: Credential) => {
  const storage = { filesystem: { rootdirectory: temporaryDirectory(t) } };
  const upstream = await startRegistry(t, temporaryDirectory(t), { storage });
  const proxy = await faultProxy(t, upstream, () => undefined);
  const tokens = await tokenServer(t, options);
  proxy.handler = tokens.guard(proxy.handler);
  const credentials = async (): Promise<Credential | undefined> => credential;
  return { proxy, tokens, repository: registryAt(t, proxy.host, { credentials }) };
};

t.test('push, pull and mount with tokens', { skip }, async t => {
  for (const [what, options, credential] of [
    ['for everybody', {}, undefined],
    ['with a service', { service: 'the registry' }, undefined],
    ['no scope in the challenge', { challengeScope: false }, undefined],
    ['a password', { login: 'user:pass' }, PASSWORD],
    [
      'an identity token',
      { identity: 'refresh', login: 'x:y' },
      { kind: 'identity', token: 'refresh' },
    ],
  ] as const) {
    const { tokens, repository, proxy } = await guarded(t, options, credential);
    await uploadBlob(repository, bytes(), { signal });
    t.ok((await buffer(await openBlob(repository, { digest }))).equals(BLOB), what);
    const other = { ...repository, name: 'other/app' };
    t.equal(await mountBlob(other, digest, 'some/app', signal), true, what);
    t.equal(await headBlob(other, digest, signal), BLOB.length, what);
    t.ok(tokens.tokens.size <= 4, 'a token serves many requests');
    t.match([...tokens.tokens.values()].flat().join(), /repository:some\/app:pull/);
    const anonymous = proxy.asked.filter(
      ({ headers, url }) => !headers.authorization && url !== '/v2/', // whether it speaks HTTP
    );
    t.equal(anonymous.length, 1, 'who knows the door brings a token');
    if ('service' in options) t.equal(tokens.forms[0]!.service, options.service);
    if (credential?.kind === 'identity') t.equal(tokens.forms[0]!.grant_type, 'refresh_token');
  }
});

t.test('a token that has expired is replaced, once', { skip }, async t => {
  for (const expiredStatus of [401, 403]) {
    const { tokens, repository } = await guarded(t, { expiredStatus });
    await uploadBlob(repository, bytes(), { signal });
    tokens.tokens.clear();
    t.equal(await headBlob(repository, digest, signal), BLOB.length, String(expiredStatus));
    t.equal(tokens.tokens.size, 1);
  }
});

t.test('refused for good', { skip }, async t => {
  const wrong: Credential = { ...PASSWORD, password: 'wrong' };
  const { repository, tokens } = await guarded(t, { login: 'user:pass' }, wrong);
  await t.rejects(headBlob(repository, digest, signal), {
    code: 'BACKEND',
    message: /^the token server answered 401 Unauthorized: incorrect username or password$/,
    at: { repository: 'some/app' },
  });
  t.ok(tokens.forms.length <= 2);
  const server = await serve(t, (_request, response) => {
    response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"not you"}]}');
  });
  const denied = registryAt(t, server.host, { scheme: 'http' });
  await t.rejects(openBlob(denied, { digest }), {
    message: 'the registry answered 403 Forbidden: DENIED: not you',
    at: { registry: server.host, repository: 'some/app', status: 403 },
  });
});

const blob: Handler = (request, response) => sendBytes(request, response, BLOB);

t.test('Basic, and what it redirects to is told nothing', async t => {
  const storage = await serve(t, blob);
  const server = await serve(t, (request, response) => {
    if (request.headers.authorization !== `Basic ${Buffer.from('user:pass').toString('base64')}`) {
      response.writeHead(401, { 'www-authenticate': 'Negotiate, Basic realm="x"' }).end();
    } else response.writeHead(307, { location: `${storage.url}/data?secret` }).end();
  });
  process.env['NYDUS_HEADER_X-Secret'] = 'secret';
  t.teardown(() => delete process.env['NYDUS_HEADER_X-Secret']);
  const credentials = async (): Promise<Credential> => PASSWORD;
  const repository = registryAt(t, server.host, { scheme: 'http', credentials });
  t.ok((await buffer(await openBlob(repository, { digest }))).equals(BLOB));
  t.equal(server.asked[0]!.headers['x-secret'], 'secret');
  t.equal(storage.asked[0]!.headers['x-secret'], undefined);
  t.equal(storage.asked[0]!.headers.authorization, undefined);
});

t.test('round and round, and to where no web is', async t => {
  const server = await serve(t, blob);
  for (const [location, message] of [
    [server.url, /too many redirects/],
    ['file:///etc/passwd', /redirected to unsupported protocol 'file:'/],
    ['http://', /invalid address/],
    ['', /invalid address/],
  ] as const) {
    server.handler = (_request, response) => response.writeHead(307, { location }).end();
    const repository = registryAt(t, server.host, { scheme: 'http' });
    await t.rejects(openBlob(repository, { digest }), { code: 'BACKEND', message }, location);
  }
});

t.test('what may pass is tried again, as late as the server asks', async t => {
  let tries = 0;
  const server = await serve(t, (request, response) => {
    tries += 1;
    if (tries < 3) response.writeHead(tries === 1 ? 503 : 429, { 'retry-after': '0' }).end();
    else blob(request, response);
  });
  const repository = registryAt(t, server.host, { scheme: 'http' });
  t.equal(await headBlob(repository, digest, signal), BLOB.length);
  server.handler = (_request, response) => response.writeHead(429, { 'retry-after': '3600' }).end();
  server.asked = [];
  await t.rejects(headBlob(repository, digest, signal), {
    message: /answered 429 Too Many Requests/,
  });
  t.equal(server.asked.length, 1, 'an hour is too long to wait');
  server.handler = (_request, response) => response.writeHead(500).end();
  await t.rejects(headBlob(repository, digest, signal), { message: /answered 500/ });
  t.equal(server.asked.length, 4);
});

t.test('through the proxy of the environment', async t => {
  const seen: string[] = [];
  const proxy = await serve(t, (request, response) => {
    seen.push(request.url!);
    blob(request, response);
  });
  process.env.HTTP_PROXY = proxy.url;
  t.teardown(() => delete process.env.HTTP_PROXY);
  const repository = registryAt(t, 'registry.invalid:5000', { scheme: 'http' });
  t.ok((await buffer(await openBlob(repository, { digest }))).equals(BLOB));
  t.strictSame(seen, [`http://registry.invalid:5000/v2/some/app/blobs/${digest}`]);
});

t.test('aborted, and closed', async t => {
  const server = await serve(t, () => undefined);
  const repository = registryAt(t, server.host, { scheme: 'http' });
  const stop = new AbortController();
  const asking = headBlob(repository, digest, stop.signal);
  setTimeout(() => stop.abort(), 20);
  await t.rejects(asking, { name: 'AbortError' });
});
