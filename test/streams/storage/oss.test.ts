import t from 'tap';
import type { OssBackend } from '../../../lib/config/backends.js';
import { oss, signOss } from '../../../streams/storage/oss.js';
import { blobHandler, serve } from '../../support/servers/http.js';

// what Alibaba's own library for Python (oss2 2.19.1, class Auth) makes of the same
t.test('signatures', async t => {
  const date = 'Thu, 17 Nov 2005 18:49:58 GMT';
  t.equal(
    signOss({ method: 'GET', date, resource: '/bucket/some/prefix/abc', secret: 'key-secret' }),
    'IVFEuh4ChU3OTaE2XuE4sXbLguc=',
  );
  t.equal(
    signOss({ method: 'HEAD', date, resource: '/bucket/abc', secret: 'key-secret' }),
    'QdLstHimQZ5agW5dYwsQRzq1TUg=',
  );
});

const BACKEND: OssBackend = {
  type: 'oss',
  scheme: 'http',
  endpoint: '',
  bucketName: 'bucket',
  objectPrefix: 'layers/',
  accessKeyId: 'id',
  accessKeySecret: 'key-secret',
  http: { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5 },
};

t.test('requests', async t => {
  const bytes = Buffer.from('bytes of a blob');
  const server = await serve(t, blobHandler({ blob: bytes }));
  // a proxy takes what is for any host
  const proxy = { url: server.url, pingUrl: '', fallback: false, useHttp: false };
  const http = { ...BACKEND.http, proxy };
  const source = await oss({ ...BACKEND, endpoint: 'oss.test', http }).open('blob');
  t.equal(source.size, bytes.length);
  t.ok((await source.read(6, 2)).equals(bytes.subarray(6, 8)));
  await source.close();
  t.strictSame(
    server.asked.map(({ method, url }) => `${method} ${url}`),
    ['HEAD', 'GET'].map(method => `${method} http://bucket.oss.test/layers/blob`),
  );
  for (const { method, headers } of server.asked) {
    t.equal(headers.host, 'bucket.oss.test');
    const signature = signOss({
      method,
      date: headers.date!,
      resource: '/bucket/layers/blob',
      secret: 'key-secret',
    });
    t.equal(headers.authorization, `OSS id:${signature}`);
  }
  const open = await oss({ ...BACKEND, endpoint: 'oss.test', accessKeyId: '', http }).open('blob');
  await open.close();
  t.equal(server.asked.at(-1)!.headers.authorization, undefined, 'of everybody');
});

t.test('no secret in an error', async t => {
  const server = await serve(t, (_request, response) => response.writeHead(403).end());
  const proxy = { url: server.url, pingUrl: '', fallback: false, useHttp: false };
  const http = { ...BACKEND.http, proxy };
  const error = await oss({ ...BACKEND, endpoint: 'oss.test', http })
    .open('blob')
    .catch((e: unknown) => e);
  t.match(error, { code: 'BACKEND', at: { url: 'http://bucket.oss.test/layers/blob' } });
  t.notMatch(JSON.stringify(error), /key-secret|OSS id/);
});
