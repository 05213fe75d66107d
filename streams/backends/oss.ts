/**
 * Blobs in a bucket of OSS: the bucket is part of the host, and requests are signed in their header,
 * by version 1 of the signature.
 */
import { createHmac } from 'node:crypto';
import type { BucketBackend } from '../../lib/backend-config.js';
import type { Storage } from '../storage.js';
import { HttpClient } from './http-client.js';
import { objectName, objectPath } from './object-path.js';
import { RemoteStorage } from './remote-storage.js';

export const oss = (backend: BucketBackend): Storage => {
  const { scheme, endpoint, bucketName, accessKeyId, accessKeySecret } = backend;
  const client = new HttpClient(backend);
  return new RemoteStorage(client, ({ method, id, range, limit, signal }) => {
    const url = new URL(`${scheme}://${bucketName}.${endpoint}/${objectPath(backend, id)}`);
    const date = new Date().toUTCString();
    const headers: Record<string, string> = { date };
    if (range !== undefined) headers.range = range;
    // a bucket may be open to everybody
    if (accessKeyId !== '') {
      const resource = `/${bucketName}/${objectName(backend, id)}`;
      const signature = signOss({ method, date, resource, secret: accessKeySecret });
      headers.authorization = `OSS ${accessKeyId}:${signature}`;
    }
    return client.send({ method, url, headers, limit, signal });
  });
};

/** Of a request without a body and without headers of OSS's own. */
export const signOss = (request: {
  method: string;
  date: string;
  resource: string;
  secret: string;
}): string => {
  const { method, date, resource, secret } = request;
  const text = [method, '', '', date, resource].join('\n'); // MD5 and type of no body
  return createHmac('sha1', secret).update(text).digest('base64');
};
