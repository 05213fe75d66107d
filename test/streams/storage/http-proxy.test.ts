import path from 'node:path';
import t from 'tap';
import { httpProxy } from '../../../streams/storage/http-proxy.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { blobHandler, sendBytes, serve } from '../../support/servers/http.js';

const HTTP = { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5 };
const bytes = Buffer.from('bytes of a blob');

t.test('blobs below a path', async t => {
  const id = Buffer.from('é?').toString('latin1');
  const server = await serve(t, blobHandler({ blob: bytes, 'é?': bytes }));
  for (const [addr, at, due] of [
    [server.url, '', '/blob'],
    [`${server.url}/`, '/', '/blob'],
    [`${server.url}/base/`, '/path/', '/base/path/blob'],
  ] as const) {
    const source = await httpProxy({ type: 'http-proxy', addr, path: at, http: HTTP }).open('blob');
    t.equal(server.asked.at(-1)!.url, due);
    t.ok((await source.read(6, 2)).equals(bytes.subarray(6, 8)));
    t.equal(server.asked.at(-1)!.url, due);
    await source.close();
  }
  const storage = httpProxy({ type: 'http-proxy', addr: server.url, path: '', http: HTTP });
  await (await storage.open(id)).close();
  t.equal(server.asked.at(-1)!.url, '/%C3%A9%3F');
  await t.rejects(storage.open('none'), { code: 'BACKEND', at: { blob: 'none' } });
});

t.test('the blob behind a socket', async t => {
  const addr = path.join(temporaryDirectory(t), 'socket');
  const server = await serve(
    t,
    (request, response) => sendBytes(request, response, request.url === '/' ? bytes : undefined),
    { socketPath: addr },
  );
  // there is no proxy on the way to a socket
  const proxy = { url: 'http://127.0.0.1:1', pingUrl: '', fallback: false, useHttp: false };
  const http = { ...HTTP, proxy };
  const source = await httpProxy({ type: 'http-proxy', addr, path: '/x', http }).open('blob');
  t.match(server.asked[0], { method: 'HEAD', url: '/', headers: { range: 'bytes=0-' } });
  t.equal(source.size, bytes.length);
  t.ok((await source.read(0, bytes.length)).equals(bytes));
  await source.close();
});
