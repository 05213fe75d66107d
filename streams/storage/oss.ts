/**
 * Blobs in an OSS bucket: the bucket is part of the host name, and requests carry a version 1
 * signature in a header.
 */
import { createHmac } from 'node:crypto';
import type { OssBackend } from '../../lib/config/backends.js';
import type { Storage } from './storage.js';
import { HttpClient } from '../http/client.js';
import { objectName, objectPath } from './object-path.js';
import type { SendObject } from './object-request.js';
import { RemoteStorage } from './remote-storage.js';

export const oss = (backend: OssBackend): Storage => {
  const { endpoint, bucketName } = backend;
  const client = new HttpClient({ http: backend.http, host: `${bucketName}.${endpoint}` });
  const send = ossRequests(backend, client);
  return new RemoteStorage(client, ({ range, ...request }) =>
    send({ ...request, headers: range === undefined ? {} : { range } }),
  );
};

/** Signs and sends requests for objects. */
export const ossRequests = (backend: OssBackend, client: HttpClient): SendObject => {
  const { scheme, endpoint, bucketName, accessKeyId, accessKeySecret } = backend;
  return ({ method, id, query = {}, headers: given = {}, body, limit, signal }) => {
    const url = new URL(`${scheme}://${bucketName}.${endpoint}/${objectPath(backend, id)}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const date = new Date().toUTCString();
    const headers: Record<string, string> = { date, ...given };
    // a public bucket needs no signature
    if (accessKeyId !== '') {
      const resource = `/${bucketName}/${objectName(backend, id)}${subresources(query)}`;
      const signature = signOss({ method, date, resource, secret: accessKeySecret });
      headers.authorization = `OSS ${accessKeyId}:${signature}`;
    }
    return client.send({ method, url, headers, limit, signal, ...(body ? { body } : {}) });
  };
};

/** Parts of a query that are signed, which all of ours are: sorted, and as they are. */
const subresources = (query: Readonly<Record<string, string>>): string => {
  const pairs = Object.entries(query)
    .map(([name, value]) => (value === '' ? name : `${name}=${value}`))
    .sort();
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
};

/** Signs a request without a type or an MD5 of its body, and without OSS-specific headers. */
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
