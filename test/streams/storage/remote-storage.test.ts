import fc from 'fast-check';
import t, { type Test } from 'tap';
import { describe, type RafsError } from '../../../lib/errors.js';
import { HttpClient } from '../../../streams/http/client.js';
import { RemoteStorage, type Ask } from '../../../streams/storage/remote-storage.js';
import type { ReaderAt } from '../../../streams/io/reader-at.js';
import { blobHandler, FAULTS, sendBytes, serve, type Handler } from '../../support/servers/http.js';
import { numbers } from '../../support/random.js';

const next = numbers(7);
const BLOB = Buffer.from(Array.from({ length: 3_000_000 }, () => next(256)));

/** A storage of a server at `url`; requests that take half a second have failed. */
const storageAt = (url: string, timeout = 0.5): RemoteStorage => {
  const http = { skipVerify: false, caCertFiles: [], timeout, connectTimeout: timeout };
  const client = new HttpClient({ http });
  const ask: Ask = ({ method, id, range, limit, signal }) =>
    client.send({
      method,
      url: new URL(`${url}/${id}`),
      headers: range === undefined ? {} : { range },
      limit,
      signal,
    });
  return new RemoteStorage(client, ask, [1, 2, 3]);
};

const opened = async (t: Test, handler: Handler, id = 'blob') => {
  const server = await serve(t, handler);
  const source = await storageAt(server.url, 5).open(id);
  t.teardown(() => source.close());
  return { server, source };
};

const isPart = (t: Test, bytes: Buffer, offset: number, size: number): void => {
  t.ok(bytes.equals(BLOB.subarray(offset, offset + size)), `${size} bytes at ${offset}`);
};

t.test('any range, in any order', async t => {
  const { source } = await opened(t, blobHandler({ blob: BLOB }));
  t.equal(source.size, BLOB.length);
  t.equal(source.readsAhead, true);
  const offset = fc.integer({ min: 0, max: BLOB.length });
  await fc.assert(
    fc.asyncProperty(offset, fc.integer({ min: 0, max: 600_000 }), async (at, most) => {
      const size = Math.min(most, BLOB.length - at);
      return (await source.read(at, size)).equals(BLOB.subarray(at, at + size));
    }),
    { numRuns: 60 },
  );
  isPart(t, await source.read(0, BLOB.length), 0, BLOB.length);
});

t.test('several ranges at once', async t => {
  const { source } = await opened(t, blobHandler({ blob: BLOB }));
  const ranges = Array.from({ length: 40 }, () => {
    const size = next(300_000);
    return { offset: next(BLOB.length - size), size };
  });
  const read = await Promise.all(ranges.map(({ offset, size }) => source.read(offset, size)));
  ranges.forEach(({ offset, size }, i) => isPart(t, read[i]!, offset, size));
});

t.test('front to back in few requests, each byte once', async t => {
  const { server, source } = await opened(t, blobHandler({ blob: BLOB }));
  const pieces: Buffer[] = [];
  for (let at = 0; at < BLOB.length; at += 10_000) {
    pieces.push(await source.read(at, Math.min(10_000, BLOB.length - at)));
  }
  t.ok(Buffer.concat(pieces).equals(BLOB));
  const ranges = server.asked
    .filter(({ method }) => method === 'GET')
    .map(({ headers }) => /bytes=([0-9]+)-([0-9]+)/.exec(headers.range!)!.slice(1).map(Number));
  t.ok(ranges.length < 10, `${ranges.length} requests`);
  const size = ranges.reduce((sum, [first, last]) => sum + last! - first! + 1, 0);
  t.equal(size, BLOB.length, 'none is fetched twice');
});

t.test('the caller owns what it gets', async t => {
  const { source } = await opened(t, blobHandler({ blob: BLOB }));
  (await source.read(0, 1000)).fill(0);
  isPart(t, await source.read(0, 1000), 0, 1000);
});

t.test('no range that the blob has not', async t => {
  const { server, source } = await opened(t, blobHandler({ blob: BLOB }));
  for (const [offset, size] of [
    [BLOB.length, 1],
    [0, BLOB.length + 1],
    [-1, 1],
    [0, -1],
    [NaN, 1],
  ] as const) {
    await t.rejects(source.read(offset, size), { code: 'CORRUPT', at: { blob: 'blob' } });
  }
  t.equal(server.asked.length, 1, 'nothing is asked for');
});

t.test('a size that no server has', async t => {
  const { source } = await opened(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 2 ** 50 }).end();
  });
  await t.rejects(source.read(0, 2 ** 40), { code: 'LIMIT' });
});

t.test('sizes without HEAD', async t => {
  const without =
    (code: number): Handler =>
    (request, response) => {
      if (request.method === 'HEAD') response.writeHead(code).end();
      else blobHandler({ blob: BLOB, empty: Buffer.alloc(0) })(request, response);
    };
  for (const code of [403, 405, 501]) {
    const { source } = await opened(t, without(code));
    t.equal(source.size, BLOB.length, `${code}`);
  }
  const { source } = await opened(t, without(405), 'empty');
  t.equal(source.size, 0);
  t.equal((await source.read(0, 0)).length, 0);
  const silent = await serve(t, (request, response) => {
    response.writeHead(request.method === 'HEAD' ? 405 : 206);
    response.end(request.method === 'HEAD' ? undefined : 'a');
  });
  await t.rejects(storageAt(silent.url).open('blob'), {
    message: 'the server sent no Content-Length',
  });
});

t.test('a server that has less than it says, of what nobody reads', async t => {
  // as a client of containerd serves a blob from within a larger file
  const data = BLOB.subarray(0, 1_000_000);
  const { source } = await opened(t, (request, response) => {
    if (request.method === 'HEAD') {
      response.writeHead(200, { 'content-length': BLOB.length }).end();
      return;
    }
    const [first, last] = request.headers.range!.slice(6).split('-').map(Number);
    response.writeHead(200).end(data.subarray(first, last! + 1));
  });
  t.equal(source.size, BLOB.length);
  for (let at = 0; at < data.length; at += 50_000) {
    isPart(t, await source.read(at, 50_000), at, 50_000);
  }
  const error = await source.read(data.length - 10, 20).catch((e: unknown) => e);
  t.match(error, {
    code: 'BACKEND',
    message: 'expected 10 bytes, got 0',
    at: { offset: data.length },
  });
});

t.test('blobs side by side', async t => {
  const blobs = { a: BLOB.subarray(0, 400_000), b: BLOB.subarray(400_000, 900_000) };
  const server = await serve(t, blobHandler(blobs));
  const storage = storageAt(server.url);
  const [a, b] = [await storage.open('a'), await storage.open('b')];
  t.ok((await a.read(1000, 1000)).equals(blobs.a.subarray(1000, 2000)));
  t.ok((await b.read(1000, 1000)).equals(blobs.b.subarray(1000, 2000)));
  await a.close();
  await a.close();
  t.ok((await b.read(300_000, 1000)).equals(blobs.b.subarray(300_000, 301_000)), 'one is left');
  await b.close();
});

t.test('what servers do instead', async t => {
  for (const { what, handler, text, passing } of FAULTS) {
    await t.test(what, async t => {
      let fails = true;
      const { server, source } = await faulty(t, (request, response) => {
        if (fails) handler(request, response);
        else sendBytes(request, response, BLOB);
      });
      const error = await source.read(5000, 5000).catch((e: unknown) => e as RafsError);
      t.match(error, { code: 'BACKEND' });
      const said = describe(error);
      t.match(said, text);
      t.match(said, /^[^\n]+\(.*url http:\/\/127\.0\.0\.1:[0-9]+\/blob\)$/, 'in one line');
      const gets = server.asked.filter(({ method }) => method === 'GET').length;
      t.equal(gets, passing ? 4 : 1, 'tries');
      fails = false;
      isPart(t, await source.read(5000, 5000), 5000, 5000);
    });
  }
});

/** A server that answers HEAD as it should. */
const faulty = async (t: Test, handler: Handler) => {
  const server = await serve(t, (request, response) => {
    if (request.method === 'HEAD') sendBytes(request, response, BLOB);
    else handler(request, response);
  });
  const source: ReaderAt = await storageAt(server.url).open('blob');
  t.teardown(() => source.close());
  return { server, source };
};

t.test('what passes does no harm', async t => {
  let count = 0;
  const { source } = await faulty(t, (request, response) => {
    if (count++ % 2 === 0) response.writeHead(503).end();
    else sendBytes(request, response, BLOB);
  });
  isPart(t, await source.read(0, 2_000_000), 0, 2_000_000);
});

t.test('no blob', async t => {
  const server = await serve(t, blobHandler({}));
  const error = await storageAt(server.url)
    .open('none')
    .catch((e: unknown) => e);
  t.match(error, { code: 'BACKEND', at: { blob: 'none', url: `${server.url}/none` } });
  t.match(describe(error), /the storage answers 404 Not Found/);
  t.equal(server.asked.length, 1);
});

t.test('closed while it reads ahead', async t => {
  const { server, source } = await faulty(t, (request, response) => {
    if (server.asked.length < 5) sendBytes(request, response, BLOB);
  });
  for (let at = 0; at < 800_000; at += 100_000) isPart(t, await source.read(at, 1000), at, 1000);
  await source.close();
});
