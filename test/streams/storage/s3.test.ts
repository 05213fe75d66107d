import { createHash, createHmac } from 'node:crypto';
import t from 'tap';
import type { S3Backend } from '../../../lib/config/backends.js';
import { s3 } from '../../../streams/storage/s3.js';
import { blobHandler, serve, type Asked } from '../../support/servers/http.js';

const BACKEND: S3Backend = {
  type: 's3',
  scheme: 'http',
  endpoint: '',
  region: 'eu-central-1',
  bucketName: 'bucket',
  objectPrefix: 'some layers/',
  accessKeyId: 'AKID',
  accessKeySecret: 'key-secret',
  http: { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5 },
};

/** What the signature of a request must be, by the steps of AWS's documentation. */
const signatureOf = ({ method, url, headers }: Asked, signed: string): string => {
  const hmac = (key: string | Buffer, text: string): Buffer =>
    createHmac('sha256', key).update(text).digest();
  const names = signed.split(';');
  const date = headers['x-amz-date'] as string; // node joins what is there twice
  const day = date.slice(0, 8);
  const canonical = [
    ...[method, url, ''],
    ...names.map(name => `${name}:${headers[name] as string}`),
    ...['', signed, headers['x-amz-content-sha256']],
  ].join('\n');
  const scope = `${day}/eu-central-1/s3/aws4_request`;
  const digest = createHash('sha256').update(canonical).digest('hex');
  const key = [day, 'eu-central-1', 's3', 'aws4_request'].reduce<string | Buffer>(
    hmac,
    'AWS4key-secret',
  );
  return hmac(key, ['AWS4-HMAC-SHA256', date, scope, digest].join('\n')).toString('hex');
};

t.test('requests, signed', async t => {
  const bytes = Buffer.from('bytes of a blob');
  const server = await serve(t, blobHandler({ blob: bytes }));
  const source = await s3({ ...BACKEND, endpoint: server.host }).open('blob');
  t.equal(source.size, bytes.length);
  t.ok((await source.read(6, 2)).equals(bytes.subarray(6, 8)));
  await source.close();
  t.strictSame(
    server.asked.map(({ method, url }) => `${method} ${url}`),
    ['HEAD', 'GET'].map(method => `${method} /bucket/some%20layers/blob`),
  );
  for (const asked of server.asked) {
    const { authorization = '' } = asked.headers;
    const [, credential, signed, signature] =
      /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/.exec(
        authorization,
      )!;
    t.match(credential, /^AKID\/[0-9]{8}\/eu-central-1\/s3\/aws4_request$/);
    for (const name of ['host', 'x-amz-content-sha256', 'x-amz-date']) {
      t.ok(signed!.split(';').includes(name), name);
    }
    t.equal(signature, signatureOf(asked, signed!));
  }
});

t.test('keys that hold for a while', async t => {
  const server = await serve(t, blobHandler({ blob: Buffer.from('x') }));
  const backend = { ...BACKEND, endpoint: server.host, sessionToken: 'session' };
  await (await s3(backend).open('blob')).close();
  const { headers } = server.asked[0]!;
  t.equal(headers['x-amz-security-token'], 'session');
  const [, signed = '', signature] = /SignedHeaders=(\S+), Signature=(\S+)$/.exec(
    headers.authorization!,
  )!;
  t.ok(signed.split(';').includes('x-amz-security-token'));
  t.equal(signature, signatureOf(server.asked[0]!, signed));
});

t.test('a bucket of everybody', async t => {
  const server = await serve(t, blobHandler({ blob: Buffer.alloc(10) }));
  const source = await s3({ ...BACKEND, endpoint: server.host, accessKeyId: '' }).open('blob');
  await source.close();
  t.equal(server.asked[0]!.headers.authorization, undefined);
});

t.test('no secret in an error', async t => {
  const server = await serve(t, (_request, response) => response.writeHead(403).end());
  const error = await s3({ ...BACKEND, endpoint: server.host })
    .open('blob')
    .catch((e: unknown) => e);
  t.match(error, { code: 'BACKEND', message: 'the storage answers 403 Forbidden' });
  t.notMatch(JSON.stringify(error), /key-secret|AKID|Signature/);
});
