/**
 * Blobs in an OSS bucket: the bucket is part of the host name, and requests carry a version 1
 * signature in a header.
 */
import { createHmac } from 'node:crypto';
import type { BucketBackend } from '../../lib/config/backends.js';
import type { Storage } from './storage.js';
import { HttpClient } from '../http/client.js';
import { objectName, objectPath } from './object-path.js';
import { RemoteStorage } from './remote-storage.js';

export const oss = (backend: BucketBackend): Storage => {
  const { scheme, endpoint, bucketName, accessKeyId, accessKeySecret } = backend;
  const client = new HttpClient({ http: backend.http, host: `${bucketName}.${endpoint}` });
  return new RemoteStorage(client, ({ method, id, range, limit, signal }) => {
    const url = new URL(`${scheme}://${bucketName}.${endpoint}/${objectPath(backend, id)}`);
    const date = new Date().toUTCString();
    const headers: Record<string, string> = { date };
    if (range !== undefined) headers.range = range;
    // a public bucket needs no signature
    if (accessKeyId !== '') {
      const resource = `/${bucketName}/${objectName(backend, id)}`;
      const signature = signOss({ method, date, resource, secret: accessKeySecret });
      headers.authorization = `OSS ${accessKeyId}:${signature}`;
    }
    return client.send({ method, url, headers, limit, signal });
  });
};

/** Signs a request that has no body and no OSS-specific headers. */
export const signOss = (request: {
  method: string;
  date: string;
  resource: string;
  secret: string;
}): string => {
  const { method, date, resource, secret } = request;
  const text = [method, '', '', date, resource].join('\n'); // no body, so no MD5 and no type
  return createHmac('sha1', secret).update(text).digest('base64');
};
