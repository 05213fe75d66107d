import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { HttpSettings } from '../../../lib/config/backends.js';
import { describe } from '../../../lib/errors.js';
import { headerOf, isTlsFailure, shownUrl, TransientError } from '../../../streams/http/answer.js';
import { HttpClient, type HttpRequest } from '../../../streams/http/client.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { closedPort, serve, type Handler } from '../../support/servers/http.js';
import { lacksOpenssl, selfSigned } from '../../support/servers/certificate.js';

const HTTP: HttpSettings = { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5 };
const { signal } = new AbortController();

/** A client that is in use until the test ends. */
const clientOf = (t: Test, http: Partial<HttpSettings> = {}, socketPath?: string): HttpClient => {
  const client = new HttpClient({
    http: { ...HTTP, ...http },
    ...(socketPath === undefined ? {} : { socketPath }),
  });
  client.acquire();
  t.teardown(() => client.release());
  return client;
};

const get = (url: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: 'GET',
  url: new URL(url),
  limit: 1000,
  signal,
  ...more,
});

const hello: Handler = (request, response) => {
  response.writeHead(200, { 'x-asked': request.url }).end('hello');
};

t.test('an answer: status, headers, body', async t => {
  const server = await serve(t, hello);
  const client = clientOf(t);
  const answer = await client.send(get(`${server.url}/a?b=c`));
  t.match(answer, { status: 200, url: `${server.url}/a` });
  t.equal(answer.body.toString(), 'hello');
  t.equal(headerOf(answer, 'x-asked'), '/a?b=c');
  t.equal(headerOf(answer, 'x-none'), undefined);
  const head = await client.send(get(server.url, { method: 'HEAD', limit: 0 }));
  t.match(head, { status: 200, body: Buffer.alloc(0) });
  t.match(server.asked[0], { method: 'GET', headers: { 'user-agent': 'rafs-stream' } });
});

t.test('a form is sent', async t => {
  let got = '';
  const server = await serve(t, (request, response) => {
    request.on('data', piece => (got += String(piece))).on('end', () => response.end('ok'));
  });
  await clientOf(t).send(get(server.url, { method: 'POST', body: 'a=b' }));
  t.equal(got, 'a=b');
});

t.test('no more is taken than was asked for', async t => {
  const server = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 2000 }).end(Buffer.alloc(2000));
  });
  const client = clientOf(t);
  const error = await client.send(get(server.url)).catch((e: unknown) => e);
  t.match(error, {
    code: 'BACKEND',
    message: /ignored the Range header: expected 1000 bytes, got 2000/,
  });
  t.notOk(error instanceof TransientError);
  t.equal((await client.send(get(server.url, { limit: 2000 }))).body.length, 2000);
});

t.test('no redirect is followed, and what an error has to say is not read', async t => {
  const server = await serve(t, (_request, response) => {
    response.writeHead(307, { location: '/other' }).end('x'.repeat(5000));
  });
  const answer = await clientOf(t).send(get(server.url));
  t.match(answer, { status: 307, body: Buffer.alloc(0), headers: { location: '/other' } });
  t.equal(server.asked.length, 1);
});

t.test('a socket', async t => {
  const socketPath = path.join(temporaryDirectory(t), 'socket');
  await serve(t, hello, { socketPath });
  const answer = await clientOf(t, {}, socketPath).send(get('http://localhost/'));
  t.equal(answer.body.toString(), 'hello');
  const none = clientOf(t, {}, `${socketPath}.none`).send(get('http://localhost/'));
  await t.rejects(none, { code: 'BACKEND', message: 'the server did not respond' });
});

t.test('nobody there', async t => {
  const port = await closedPort();
  const error = await clientOf(t)
    .send(get(`http://user:secret@127.0.0.1:${port}/a?token=secret`))
    .catch((e: unknown) => e);
  t.ok(error instanceof TransientError);
  const text = describe(error);
  t.match(
    text,
    /^the server did not respond: .*ECONNREFUSED.* \(url http:\/\/127\.0\.0\.1:[0-9]+\/a\)$/,
  );
  t.notMatch(text, /secret/);
});

t.test('credentials before the host are sent, and not shown', async t => {
  const server = await serve(t, hello);
  const client = clientOf(t);
  const answer = await client.send(get(`http://us%40er:pa%25ss@${server.host}/`));
  t.equal(answer.url, `${server.url}/`);
  const login = Buffer.from('us@er:pa%ss').toString('base64');
  t.equal(server.asked[0]!.headers.authorization, `Basic ${login}`);
  await client.send(get(`http://100%25:5%@${server.host}/`));
  t.equal(
    Buffer.from(server.asked[1]!.headers.authorization!.slice(6), 'base64').toString(),
    '100%:5%',
  );
  await client.send(get(`http://a:b@${server.host}/`, { headers: { authorization: 'Bearer x' } }));
  t.equal(server.asked[2]!.headers.authorization, 'Bearer x');
});

t.test('addresses as they are shown', async t => {
  t.equal(shownUrl(new URL('https://a:b@host:1/p/q?X-Amz-Signature=1#x')), 'https://host:1/p/q');
});

t.test('headers of the environment', async t => {
  const server = await serve(t, hello);
  process.env['NYDUS_HEADER_X-Test'] = 'value';
  t.teardown(() => delete process.env['NYDUS_HEADER_X-Test']);
  await clientOf(t).send(get(server.url));
  t.equal(server.asked[0]!.headers['x-test'], 'value');
});

t.test('a server that is silent, at each of its steps', async t => {
  const client = clientOf(t, { timeout: 0.2, connectTimeout: 0.2 });
  const silent = await serve(t, () => undefined);
  await t.rejects(client.send(get(silent.url)), { message: 'the server did not respond' });
  const half = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('a');
  });
  await t.rejects(client.send(get(half.url)), {
    message: 'the response with status 200 was cut off',
  });
  const drips = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 100 });
    const timer = setInterval(() => response.write('a'), 50);
    response.on('close', () => clearInterval(timer));
  });
  const error = await client.send(get(drips.url)).catch((e: unknown) => e);
  t.match(error, { message: /was cut off/, cause: { message: 'the request timed out' } });
});

t.test('a request that nobody waits for', async t => {
  const server = await serve(t, () => undefined);
  const stop = new AbortController();
  const running = clientOf(t).send(get(server.url, { signal: stop.signal }));
  setImmediate(() => stop.abort());
  await t.rejects(running, { name: 'AbortError' });
});

t.test('connections end with the last user', async t => {
  const server = await serve(t, hello);
  const client = new HttpClient({ http: HTTP });
  client.acquire();
  client.acquire();
  await client.send(get(server.url));
  await client.release();
  t.equal((await client.send(get(server.url))).status, 200, 'one is left');
  await client.release();
  client.acquire();
  t.equal((await client.send(get(server.url))).status, 200, 'and made again');
  await client.release();
});

/** A proxy that knows both ways; `seen` has the first line of each request. */
const proxyServer = async (t: Test, refuse = false) => {
  const seen: string[] = [];
  const logins: (string | undefined)[] = [];
  const server = http.createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    logins.push(request.headers['proxy-authorization']);
    if (refuse) {
      response.writeHead(502).end();
      return;
    }
    const onward = http.request(request.url!, { method: request.method, headers: request.headers });
    onward.on('response', answer => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.end();
  });
  server.on('connect', (request: http.IncomingMessage, socket: net.Socket) => {
    seen.push(`CONNECT ${request.url}`);
    logins.push(request.headers['proxy-authorization']);
    const [host, port] = request.url!.split(':');
    const onward = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    for (const end of [socket, onward]) end.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return { seen, logins, host: `127.0.0.1:${port}` };
};

const PROXY = { pingUrl: '', fallback: true, useHttp: false };

t.test('through a proxy', async t => {
  const server = await serve(t, hello);
  const { seen, logins, host } = await proxyServer(t);
  const client = clientOf(t, { proxy: { ...PROXY, url: `http://us:pa@${host}` } });
  const answer = await client.send(get(`${server.url}/a?b`));
  t.equal(answer.body.toString(), 'hello');
  t.strictSame(seen, [`GET ${server.url}/a?b`]);
  t.strictSame(logins, [`Basic ${Buffer.from('us:pa').toString('base64')}`]);
  t.equal(server.asked[0]!.headers.host, server.host);
  await client.send(get(server.url, { direct: true }));
  t.equal(seen.length, 1, 'not what is to be sent directly');
});

t.test('past a proxy that fails', async t => {
  const server = await serve(t, hello);
  const { seen, host } = await proxyServer(t, true);
  const dead = `127.0.0.1:${await closedPort()}`;
  for (const url of [`http://${host}`, `http://${dead}`]) {
    const client = clientOf(t, { proxy: { ...PROXY, url } });
    t.equal((await client.send(get(server.url))).status, 200, url);
  }
  t.equal(seen.length, 1);
  const strict = clientOf(t, { proxy: { ...PROXY, url: `http://${host}`, fallback: false } });
  t.equal((await strict.send(get(server.url))).status, 502);
  const none = clientOf(t, { proxy: { ...PROXY, url: `http://${dead}`, fallback: false } });
  await t.rejects(none.send(get(server.url)), { message: 'the server did not respond' });
});

t.test('not through a proxy that says it is ill', async t => {
  const server = await serve(t, hello);
  const ping = await serve(t, (_request, response) => response.writeHead(503).end());
  const { seen, host } = await proxyServer(t);
  const proxy = { ...PROXY, url: `http://${host}`, pingUrl: ping.url };
  const client = clientOf(t, { proxy });
  for (let i = 0; i < 3; i++) t.equal((await client.send(get(server.url))).status, 200);
  t.strictSame([seen.length, ping.asked.length], [0, 1], 'asked once');
  ping.handler = hello;
  await clientOf(t, { proxy }).send(get(server.url));
  t.equal(seen.length, 1);
});

t.test('TLS', { skip: lacksOpenssl }, async t => {
  const directory = temporaryDirectory(t);
  const own = selfSigned(directory);
  const server = await serve(t, hello, { tls: own });
  await t.test('a certificate that nobody knows', async t => {
    const error = await clientOf(t)
      .send(get(server.url))
      .catch((e: unknown) => e);
    t.match(describe(error), /the server did not respond: self[- ]signed certificate/);
    t.notOk(isTlsFailure(error), 'TLS it is');
    t.equal((await clientOf(t, { skipVerify: true }).send(get(server.url))).status, 200);
    t.equal((await clientOf(t, { caCertFiles: [own.file] }).send(get(server.url))).status, 200);
  });
  await t.test('certificates that are not there', async t => {
    const file = path.join(directory, 'none');
    const error = await clientOf(t, { caCertFiles: [file] })
      .send(get(server.url))
      .catch((e: unknown) => e);
    t.match(error, { code: 'UNSUPPORTED', at: { file } });
    t.notOk(error instanceof TransientError);
  });
  await t.test('through a tunnel', async t => {
    const { seen, logins, host } = await proxyServer(t);
    const proxy = { ...PROXY, url: `http://us:pa@${host}`, fallback: false };
    const client = clientOf(t, { proxy, caCertFiles: [own.file] });
    t.equal((await client.send(get(server.url))).body.toString(), 'hello');
    t.strictSame(seen, [`CONNECT ${server.host}`]);
    t.strictSame(logins, [`Basic ${Buffer.from('us:pa').toString('base64')}`]);
    const plain = await serve(t, hello);
    const useHttp = clientOf(t, { proxy: { ...proxy, useHttp: true } });
    await useHttp.send(get(`https://${plain.host}/x`));
    t.equal(seen.at(-1), `GET http://${plain.host}/x`);
  });
  await t.test('a server that has none', async t => {
    const plain = await serve(t, hello);
    const error = await clientOf(t)
      .send(get(`https://${plain.host}/`))
      .catch((e: unknown) => e);
    t.ok(isTlsFailure(error));
  });
});
