import t, { type Test } from 'tap';
import { parseBackend, type RegistryBackend } from '../../../lib/config/backends.js';
import { describe } from '../../../lib/errors.js';
import { registry } from '../../../streams/storage/registry.js';
import { lacksOpenssl, selfSigned } from '../../support/servers/certificate.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { blobHandler, serve, type Handler, type TestServer } from '../../support/servers/http.js';

const bytes = Buffer.from('bytes of a blob');
const PATH = '/v2/library/app/blobs/sha256:blob';
const AUTH = Buffer.from('user:pass').toString('base64');

const registryAt = (host: string, more: object = {}) =>
  // what a type of 'registry' gives
  registry(
    parseBackend('registry', {
      scheme: 'http',
      host,
      repo: 'library/app',
      ...more,
    }) as RegistryBackend,
  );

/** Opens the blob, reads of it, and closes it again. */
const reads = async (t: Test, storage: ReturnType<typeof registry>): Promise<void> => {
  const source = await storage.open('blob');
  t.equal(source.size, bytes.length);
  t.ok((await source.read(6, 5)).equals(bytes.subarray(6, 11)));
  await source.close();
};

const failing = async (storage: ReturnType<typeof registry>): Promise<unknown> =>
  storage.open('blob').then(
    async source => {
      await source.close();
      return undefined;
    },
    (error: unknown) => error,
  );

const blobs = blobHandler({ blob: bytes });

/** Answers who comes with this header. */
const guarded =
  (authorization: string, challenge: () => string | string[], then = blobs): Handler =>
  (request, response) => {
    if (request.headers.authorization === authorization) then(request, response);
    else response.writeHead(401, { 'www-authenticate': challenge() }).end();
  };

const linesOf = ({ asked }: TestServer): string[] =>
  asked.map(({ method, url, headers }) =>
    `${method} ${url} ${headers.authorization ?? '-'}`.trimEnd(),
  );

t.test('for everybody', async t => {
  const server = await serve(t, blobs);
  await reads(t, registryAt(server.host));
  t.strictSame(linesOf(server), [`HEAD ${PATH} -`, `GET ${PATH} -`]);
});

t.test('basic: credentials are sent where they are asked for', async t => {
  const server = await serve(
    t,
    guarded(`Basic ${AUTH}`, () => 'Basic realm="here"'),
  );
  await reads(t, registryAt(server.host, { auth: AUTH }));
  t.strictSame(linesOf(server), [
    `HEAD ${PATH} -`,
    `HEAD ${PATH} Basic ${AUTH}`,
    `GET ${PATH} Basic ${AUTH}`,
  ]);
  const open = await serve(t, blobs);
  await reads(t, registryAt(open.host, { auth: AUTH }));
  t.strictSame(linesOf(open), [`HEAD ${PATH} -`, `GET ${PATH} -`], 'and nowhere else');
  const error = await failing(registryAt(server.host));
  t.match(error, { code: 'BACKEND', message: 'the registry answered 401 Unauthorized' });
  const wrong = Buffer.from('user:wrong').toString('base64');
  const other = await failing(registryAt(server.host, { auth: wrong }));
  t.match(other, { code: 'BACKEND', message: 'the registry answered 401 Unauthorized' });
  t.notMatch(describe(other), new RegExp(`${wrong}|wrong`));
});

/** A server of tokens, which may know one method only. */
const tokenServer = async (t: Test, method: 'GET' | 'POST', token: () => object) => {
  const forms: string[] = [];
  const server = await serve(t, (request, response) => {
    let form = new URL(request.url!, server.url).searchParams.toString();
    request.on('data', piece => (form += String(piece)));
    request.on('end', () => {
      if (request.method !== method) {
        response.writeHead(405).end();
        return;
      }
      forms.push(form);
      response.end(JSON.stringify(token()));
    });
  });
  const challenge = (): string =>
    `Bearer realm="${server.url}/token",service="the service",scope="repository:library/app:pull"`;
  return { server, forms, challenge };
};

for (const method of ['GET', 'POST'] as const) {
  t.test(`bearer: a token by ${method}`, async t => {
    const given = await tokenServer(t, method, () => ({ token: 'the.token' }));
    const server = await serve(t, guarded('Bearer the.token', given.challenge));
    await reads(t, registryAt(server.host, { auth: AUTH }));
    t.strictSame(linesOf(server), [
      `HEAD ${PATH} -`,
      `HEAD ${PATH} Bearer the.token`,
      `GET ${PATH} Bearer the.token`,
    ]);
    t.equal(given.forms.length, 1, 'it is kept');
    const asked = { service: 'the service', scope: 'repository:library/app:pull' };
    const form = Object.fromEntries(new URLSearchParams(given.forms[0]));
    if (method === 'GET') {
      t.strictSame(form, { ...asked, account: 'user' });
      t.equal(given.server.asked.at(-1)!.headers.authorization, `Basic ${AUTH}`);
      await reads(t, registryAt(server.host));
      t.equal(given.server.asked.at(-1)!.headers.authorization, undefined, 'one for everybody');
    } else {
      const login = { grant_type: 'password', username: 'user', password: 'pass' };
      t.strictSame(form, { ...login, ...asked, client_id: 'rafs-stream' });
    }
  });
}

t.test('tokens end, and registry_token comes first', async t => {
  let count = 0;
  const { forms, challenge } = await tokenServer(t, 'POST', () => ({
    access_token: `token-${++count}`,
  }));
  const server = await serve(t, blobs);
  const demand = (token: string): void => {
    server.handler = guarded(`Bearer ${token}`, challenge);
  };
  demand('given');
  const storage = registryAt(server.host, { registry_token: 'given', auth: AUTH });
  const source = await storage.open('blob');
  t.teardown(() => source.close());
  const lastLines = (): string[] => linesOf(server).slice(-2);
  t.strictSame(linesOf(server), [`HEAD ${PATH} Bearer given`]);
  t.equal(forms.length, 0);
  demand('token-1');
  t.ok((await source.read(6, 5)).equals(bytes.subarray(6, 11)));
  t.equal(forms.length, 1);
  t.strictSame(
    lastLines(),
    ['given', 'token-1'].map(token => `GET ${PATH} Bearer ${token}`),
  );
  demand('token-2');
  const other = await storage.open('blob');
  t.teardown(() => other.close());
  t.equal(forms.length, 2);
  t.strictSame(
    lastLines(),
    ['token-1', 'token-2'].map(token => `HEAD ${PATH} Bearer ${token}`),
  );
});

t.test('servers of tokens that give none', async t => {
  for (const answer of ['{}', 'text', '[]', 'null', '{"token":""}', '{"token":"a b\\n"}']) {
    const tokens = await serve(t, (_request, response) => response.end(answer));
    const challenge = (): string => `Bearer realm="${tokens.url}",service="s"`;
    const server = await serve(t, guarded('Bearer x', challenge));
    const error = await failing(registryAt(server.host));
    t.match(error, { code: 'BACKEND', message: 'the token server sent no token' }, answer);
    t.match(error, { at: { url: `${tokens.url}/` } });
  }
});

t.test('challenges that lead nowhere', async t => {
  const refused = 'the registry answered 401 Unauthorized';
  const nowhere = "the registry named an invalid token server 'nowhere'";
  for (const [challenge, message] of [
    ...['', 'Digest realm="x"', 'Bearer', 'Basic realm="x"', '=,="'].map(text => [text, refused]),
    ['Bearer realm="nowhere",service="s"', nowhere],
  ] as const) {
    const server = await serve(
      t,
      guarded('Bearer x', () => challenge),
    );
    const error = await failing(registryAt(server.host));
    t.match(error, { code: 'BACKEND', message }, challenge);
  }
});

t.test('of several challenges the one with a token', async t => {
  const { challenge } = await tokenServer(t, 'POST', () => ({ token: 'x' }));
  const server = await serve(
    t,
    guarded('Bearer x', () => ['Basic realm="here"', challenge()]),
  );
  await reads(t, registryAt(server.host, { auth: AUTH }));
});

/** Sends everybody to that address. */
const redirecting =
  (location: () => string, status = 307): Handler =>
  (_request, response) => {
    response.writeHead(status, { location: location() }).end();
  };

t.test('elsewhere: without credentials, and without asking again', async t => {
  const storage = await serve(t, blobs);
  const server = await serve(t, blobs);
  server.handler = guarded(
    `Basic ${AUTH}`,
    () => 'Basic realm="here"',
    redirecting(() => `${storage.url}/data/blob?signature=secret`),
  );
  const source = await registryAt(server.host, { auth: AUTH }).open('blob');
  t.ok((await source.read(6, 5)).equals(bytes.subarray(6, 11)));
  t.strictSame(linesOf(storage), [
    'HEAD /data/blob?signature=secret -',
    'GET /data/blob?signature=secret -',
  ]);
  await source.close();
});

t.test('an address that is no longer good is asked for again', async t => {
  const storage = await serve(t, blobs);
  let count = 0;
  const server = await serve(
    t,
    redirecting(() => `${storage.url}/${count}/blob`),
  );
  const large = Buffer.alloc(3_000_000, 'x');
  storage.handler = (request, response) => {
    if (request.url !== `/${count}/blob`) response.writeHead(403).end('expired');
    else blobHandler({ blob: large })(request, response);
  };
  const source = await registryAt(server.host).open('blob');
  t.teardown(() => source.close());
  t.ok((await source.read(1_000_000, 10)).equals(large.subarray(0, 10)));
  const before = server.asked.length;
  count += 1;
  t.ok((await source.read(2_000_000, 10)).equals(large.subarray(0, 10)));
  t.equal(server.asked.length, before + 1);
  storage.handler = (_request, response) => response.writeHead(403).end('denied');
  const error = await source.read(500_000, 10).catch((e: unknown) => e);
  t.match(error, {
    code: 'BACKEND',
    message: /answered 403/,
    at: { url: `${storage.url}/1/blob` },
  });
});

t.test('signed for GET alone', async t => {
  const storage = await serve(t, (request, response) => {
    if (request.method === 'HEAD') response.writeHead(403).end();
    else blobs(request, response);
  });
  const server = await serve(
    t,
    redirecting(() => `${storage.url}/blob`),
  );
  await reads(t, registryAt(server.host));
});

t.test('on the same host with credentials', async t => {
  const server = await serve(t, blobs);
  server.handler = guarded(
    `Basic ${AUTH}`,
    () => 'Basic realm="here"',
    (request, response) =>
      (request.url === PATH ? redirecting(() => '/other/blob') : blobs)(request, response),
  );
  await reads(t, registryAt(server.host, { auth: AUTH }));
});

t.test('other parts of an address', async t => {
  const storage = await serve(t, blobs);
  const server = await serve(
    t,
    redirecting(() => 'https://storage.invalid/blob'),
  );
  const more = { blob_url_scheme: 'http', blob_redirected_host: storage.host };
  await reads(t, registryAt(server.host, more));
  t.strictSame(linesOf(storage), ['HEAD /blob -', 'GET /blob -']);
});

t.test('round and round, and to where no web is', async t => {
  const server = await serve(t, blobs);
  for (const [location, message] of [
    [server.url, 'too many redirects'],
    ['file:///etc/passwd', "the registry redirected to unsupported protocol 'file:'"],
    ['http://', 'the registry redirected to an invalid address'],
    ['', 'the registry redirected to an invalid address'],
  ] as const) {
    server.handler = redirecting(() => location);
    server.asked = [];
    const error = await failing(registryAt(server.host));
    t.match(error, { code: 'BACKEND', message }, location);
    t.ok(server.asked.length < 12);
  }
});

t.test('a registry without TLS, where that is allowed', async t => {
  const server = await serve(t, blobs);
  await reads(t, registryAt(server.host, { scheme: 'https', skip_verify: true }));
  const error = await failing(registryAt(server.host, { scheme: 'https' }));
  t.match(error, { code: 'BACKEND', message: 'the server did not respond' });
});

t.test('credentials do not follow from TLS to a server without it', async t => {
  const server = await serve(t, blobs);
  for (const more of [{ auth: AUTH }, { registry_token: 'token' }]) {
    const settings = { scheme: 'https', skip_verify: true, ...more };
    const error = await failing(registryAt(server.host, settings));
    t.match(error, { code: 'BACKEND', message: /does not speak TLS, and credentials/ });
  }
  t.strictSame(server.asked, []);
});

t.test('what a registry with TLS may not ask for', { skip: lacksOpenssl }, async t => {
  const tls = selfSigned(temporaryDirectory(t));
  const plain = await serve(t, (request, response) => {
    if (request.url!.startsWith('/token')) response.end('{"token":"x"}');
    else blobs(request, response);
  });
  process.env.NYDUS_HEADER_X_Secret = 'header';
  t.teardown(() => delete process.env.NYDUS_HEADER_X_Secret);
  const secure = async (handler: Handler, more: object = {}) => {
    const server = await serve(t, handler, { tls });
    const storage = registryAt(server.host, {
      scheme: 'https',
      ca_cert_files: [tls.file],
      ...more,
    });
    return { server, storage };
  };
  await t.test('a password for a token server without it', async t => {
    const challenge = () => `Bearer realm="${plain.url}/token",service="s"`;
    const { server, storage } = await secure(guarded('Bearer x', challenge), { auth: AUTH });
    t.match(await failing(storage), {
      code: 'BACKEND',
      message: 'credentials are not sent to a token server without TLS',
    });
    t.strictSame(plain.asked, []);
    t.equal(server.asked[0]?.headers.x_secret, 'header');
    const anonymous = await secure(guarded('Bearer x', challenge));
    await reads(t, anonymous.storage);
    t.ok(plain.asked.every(({ headers }) => !headers.authorization && !headers.x_secret));
  });
  await t.test('to read from a server without it, unless that is allowed', async t => {
    plain.asked = [];
    const redirected = redirecting(() => `${plain.url}/blob`);
    const { storage } = await secure(redirected, { auth: AUTH });
    const message = `the registry redirected from https to ${plain.url}/blob`;
    t.match(await failing(storage), { code: 'BACKEND', message });
    t.strictSame(plain.asked, []);
    const allowed = await secure(redirected, { auth: AUTH, blob_url_scheme: 'http' });
    await reads(t, allowed.storage);
    t.ok(plain.asked.length > 0);
    t.ok(plain.asked.every(({ headers }) => !headers.authorization && !headers.x_secret));
  });
});
