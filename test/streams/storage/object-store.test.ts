import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import type { BucketBackend } from '../../../lib/config/backends.js';
import { openObjectStore } from '../../../streams/storage/object-store.js';
import { signOss } from '../../../streams/storage/oss.js';
import { s3 } from '../../../streams/storage/s3.js';
import { buildGo } from '../../support/peers/go.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { numbers } from '../../support/random.js';
import { serve } from '../../support/servers/http.js';
import { startS3 } from '../../support/servers/storage-servers.js';

const { signal } = new AbortController();
const { program, missing: skip } = buildGo('s3-server');

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

t.test('objects of a server that checks signatures', { skip }, async t => {
  const next = numbers(7);
  const objects = { bucket: 'layers', prefix: 'a b/é+', key: 'AKID', secret: 's3/+=' };
  const empty = temporaryDirectory(t);
  const endpoint = await startS3(t, program!, { directory: empty, ...objects });
  const backend: BucketBackend = {
    type: 's3',
    scheme: 'http',
    endpoint,
    region: 'eu-central-1',
    bucketName: objects.bucket,
    objectPrefix: objects.prefix,
    accessKeyId: objects.key,
    accessKeySecret: objects.secret,
    http: { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5 },
  };
  const store = openObjectStore(backend);
  t.equal(await store.size('none', signal), undefined);
  for (const size of [0, 1, 0x100_0000, 0x100_0001, 0x280_0000]) {
    const bytes = Buffer.alloc(size, `${next(1000)} and so on`);
    const id = createHash('sha256').update(bytes).digest('hex');
    await store.put(id, size, pieces(bytes, 777_777), signal);
    t.equal(await store.size(id, signal), size);
    const reader = await s3(backend).open(id);
    t.ok((await reader.read(0, size)).equals(bytes), `${size} bytes`);
    await reader.close();
  }
  await store.close();
  const stranger = openObjectStore({ ...backend, accessKeySecret: 'wrong' });
  await t.rejects(stranger.put('x', 1, pieces(Buffer.alloc(1), 1), signal), {
    code: 'BACKEND',
    message: /^the storage answered 403 Forbidden/,
    at: { blob: 'x' },
  });
  await stranger.close();
});

// what Alibaba's own library for Python (oss2 2.19.1, class Auth) makes of the same
const SIGNATURES = {
  'POST ?uploads': 'CYZtqP8Xa/k31JJWJPGPNSIjRS0=',
  'PUT ?partNumber=2&uploadId=ab+/c=': 'KFFJUKpfH7UENUOp6k+wwmiGw7U=',
  'POST ?uploadId=ab+/c=': 'JrN0odj2hOL257Gqe+skrQSq40U=',
};

t.test('an upload to OSS is in parts, each of them signed', async t => {
  const date = 'Thu, 17 Nov 2005 18:49:58 GMT';
  for (const [request, signature] of Object.entries(SIGNATURES)) {
    const [method, query] = request.split(' ') as [string, string];
    const resource = `/bucket/layers/abc${query}`;
    t.equal(signOss({ method, date, resource, secret: 'key-secret' }), signature);
  }
  const bodies: Buffer[] = [];
  let failures = 1;
  const server = await serve(t, (request, response) => {
    void buffer(request).then(body => {
      if (request.method === 'PUT' && failures-- > 0) response.writeHead(503).end();
      else if (request.url!.endsWith('?uploads=')) {
        response.end('<R><UploadId>a&amp;b</UploadId></R>');
      } else {
        bodies.push(body);
        response.writeHead(200, { etag: `"tag ${bodies.length} &"` }).end();
      }
    });
  });
  const proxy = { url: server.url, pingUrl: '', fallback: false, useHttp: false };
  const backend: BucketBackend = {
    type: 'oss',
    scheme: 'http',
    endpoint: 'oss.test',
    bucketName: 'bucket',
    objectPrefix: 'layers/',
    accessKeyId: 'id',
    accessKeySecret: 'key-secret',
    http: { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5, proxy },
  };
  const store = openObjectStore(backend);
  await store.put('blob', 0x100_0001, pieces(Buffer.alloc(0x100_0001, 1), 100_000), signal);
  await store.close();
  const url = 'http://bucket.oss.test/layers/blob';
  t.same(
    server.asked.map(asked => `${asked.method} ${asked.url}`),
    [
      `POST ${url}?uploads=`,
      `PUT ${url}?partNumber=1&uploadId=a%26b`,
      `PUT ${url}?partNumber=1&uploadId=a%26b`,
      `PUT ${url}?partNumber=2&uploadId=a%26b`,
      `POST ${url}?uploadId=a%26b`,
    ],
  );
  const [asked] = server.asked.slice(-2);
  const resource = '/bucket/layers/blob?partNumber=2&uploadId=a&b';
  const [sent, secret] = [asked!.headers.date!, 'key-secret'];
  const signature = signOss({ method: 'PUT', date: sent, resource, secret });
  t.equal(asked!.headers.authorization, `OSS id:${signature}`);
  t.same(bodies.map(({ length }) => length).slice(0, 2), [0x100_0000, 1]);
  t.equal(
    bodies[2]!.toString(),
    '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"tag 1 &#38;"</ETag></Part>' +
      '<Part><PartNumber>2</PartNumber><ETag>"tag 2 &#38;"</ETag></Part></CompleteMultipartUpload>',
  );

  server.handler = (request, response) =>
    void buffer(request).then(() => response.writeHead(400).end('<Code>No</Code>'));
  const failing = openObjectStore(backend);
  await t.rejects(
    failing.put('blob', 0x100_0001, pieces(Buffer.alloc(0x100_0001), 100_000), signal),
    {
      message: 'the storage answered 400 Bad Request: No',
    },
  );
  await failing.close();
});
