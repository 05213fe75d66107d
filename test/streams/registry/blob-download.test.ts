import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { openBlob } from '../../../streams/registry/blob-download.js';
import { Registry } from '../../../streams/registry/client.js';
import { numbers } from '../../support/random.js';
import { sendBytes, serve, type Handler } from '../../support/servers/http.js';

const next = numbers(5);
const BLOB = Buffer.from(Array.from({ length: 3_000_000 }, () => next(256)));
const digest = `sha256:${createHash('sha256').update(BLOB).digest('hex')}`;
const size = BLOB.length;

const good: Handler = (request, response) => sendBytes(request, response, BLOB);

const opened = async (t: Test, handler: Handler) => {
  const server = await serve(t, handler);
  const none = async () => undefined;
  const registry = new Registry({
    host: server.host,
    scheme: 'http',
    credentials: none,
    pauses: [1, 1, 1],
  });
  t.teardown(() => registry.close());
  return { server, repository: { registry, name: 'some/app' } };
};

/** Breaks each answer after so many bytes of its body. */
const cutting = (...cuts: readonly number[]): Handler => {
  const left = [...cuts];
  return (request, response) => {
    const cut = left.shift();
    if (cut === undefined) return good(request, response);
    const from = Number(/^bytes=([0-9]+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const status = request.headers.range === undefined ? 200 : 206;
    response.writeHead(status, { 'content-length': size - from });
    response.write(BLOB.subarray(from, from + cut), () => request.socket.destroy());
  };
};

t.test('a blob, and parts of it', async t => {
  const { server, repository } = await opened(t, good);
  t.ok((await buffer(await openBlob(repository, { digest, size }))).equals(BLOB));
  t.ok((await buffer(await openBlob(repository, { digest }))).equals(BLOB));
  const part = await buffer(await openBlob(repository, { digest, size, offset: 7, length: 9 }));
  t.ok(part.equals(BLOB.subarray(7, 16)));
  const rest = await buffer(await openBlob(repository, { digest, size, offset: size - 5 }));
  t.ok(rest.equals(BLOB.subarray(size - 5)));
  t.equal(server.asked.at(-1)!.headers.range, `bytes=${size - 5}-${size - 1}`);
  const nothing = await buffer(await openBlob(repository, { digest, size, offset: size }));
  t.equal(nothing.length, 0);
  await t.rejects(openBlob(repository, { digest, size, offset: 1, length: size }), {
    code: 'CORRUPT',
  });
  await t.rejects(openBlob(repository, { digest: 'sha256:../x' }), { code: 'CORRUPT' });
});

t.test('connections that break are replaced where they broke', async t => {
  const { server, repository } = await opened(t, cutting(1_000_000, 0, 5, 500_000));
  t.ok((await buffer(await openBlob(repository, { digest, size }))).equals(BLOB));
  t.ok(server.asked.length >= 3);
  t.match(server.asked.at(-1)!.headers.range, /^bytes=[1-9][0-9]*-2999999$/);
  const unknown = await opened(t, cutting(1_000_000));
  t.ok((await buffer(await openBlob(unknown.repository, { digest }))).equals(BLOB));
});

t.test('and given up if none brings anything', async t => {
  const { server, repository } = await opened(t, cutting(100_000, ...Array<number>(50).fill(10)));
  await t.rejects(openBlob(repository, { digest, size }).then(buffer), {
    code: 'BACKEND',
    message: /the connection broke after [0-9]+ of 3000000 bytes|the server did not respond/,
    at: { blob: digest, repository: 'some/app' },
  });
  t.ok(server.asked.length < 10);
});

t.test('a server that ignores ranges is read again from the start', async t => {
  const broken = cutting(1_000_000);
  const { server, repository } = await opened(t, (request, response) => {
    delete request.headers.range;
    broken(request, response);
  });
  t.ok((await buffer(await openBlob(repository, { digest, size }))).equals(BLOB));
  t.equal(server.asked.length, 2);
  const part = await buffer(await openBlob(repository, { digest, size, offset: 7, length: 9 }));
  t.ok(part.equals(BLOB.subarray(7, 16)));
});

t.test('bytes that are not those', async t => {
  const wrong = Buffer.from(BLOB);
  wrong[size - 1]! ^= 1;
  const { repository } = await opened(t, (request, response) => {
    sendBytes(request, response, wrong);
  });
  const place = { blob: digest };
  const reading = openBlob(repository, { digest, size }).then(buffer);
  await t.rejects(reading, {
    code: 'MISMATCH',
    message: /expected digest sha256:.*, got sha256:/,
    at: place,
  });
  const short = openBlob(repository, { digest, size: size + 1 }).then(buffer);
  await t.rejects(short, { code: 'MISMATCH', message: /expected 3000001 bytes, got 3000000/ });
  const endless = await opened(t, (_request, response) => {
    const more = (): boolean => response.write(Buffer.alloc(0x10000)) && more();
    response.writeHead(200).on('drain', more);
    more();
  });
  const long = openBlob(endless.repository, { digest, size: 100_000 }).then(buffer);
  await t.rejects(long, { code: 'MISMATCH', message: /expected 100000 bytes, got more/ });
});

t.test('bytes from another place than asked', async t => {
  const { repository } = await opened(t, (_request, response) => {
    response.writeHead(206, { 'content-range': 'bytes 0-8/3000000' }).end('123456789');
  });
  await t.rejects(openBlob(repository, { digest, size, offset: 7, length: 9 }).then(buffer), {
    message: /expected bytes at 7, got 0/,
  });
});

t.test('a stream that is destroyed gives its connection up', async t => {
  const closed: Promise<unknown>[] = [];
  const { repository } = await opened(t, (request, response) => {
    closed.push(once(request.socket, 'close'));
    response.writeHead(200, { 'content-length': size });
    response.write(BLOB.subarray(0, 1000)); // and then nothing
  });
  const stream = await openBlob(repository, { digest, size });
  await once(stream, 'readable');
  stream.destroy();
  await once(stream, 'close');
  await closed[0];
  const stop = new AbortController();
  const reading = openBlob(repository, { digest, size, signal: stop.signal }).then(buffer);
  setTimeout(() => stop.abort(), 20);
  await t.rejects(reading, { name: 'AbortError' });
  await t.rejects(openBlob(repository, { digest, signal: AbortSignal.abort() }), {
    name: 'AbortError',
  });
});
