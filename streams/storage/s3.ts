/** Blobs in a bucket of S3 or a compatible service, with the bucket in the URL's path. */
import { createHash } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';
import type { S3Backend } from '../../lib/config/backends.js';
import type { Storage } from './storage.js';
import { HttpClient } from '../http/client.js';
import { objectPath } from './object-path.js';
import type { SendObject } from './object-request.js';
import { RemoteStorage } from './remote-storage.js';

export const s3 = (backend: S3Backend): Storage => {
  const client = new HttpClient({ http: backend.http, host: backend.endpoint });
  const send = s3Requests(backend, client);
  return new RemoteStorage(client, ({ range, ...request }) =>
    send({ ...request, headers: range === undefined ? {} : { range } }),
  );
};

/** Signs and sends requests for objects. */
export const s3Requests = (backend: S3Backend, client: HttpClient): SendObject => {
  const { scheme, endpoint, region, bucketName, accessKeyId, accessKeySecret, sessionToken } =
    backend;
  return async ({ method, id, query = {}, headers: given = {}, body, limit, signal }) => {
    const url = new URL(`${scheme}://${endpoint}/${bucketName}/${objectPath(backend, id)}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const headers: Record<string, string> = { ...given };
    // a public bucket needs no signature
    if (accessKeyId !== '') {
      const signer = new AwsV4Signer({
        method,
        url: url.href,
        headers: { 'x-amz-content-sha256': sha256Of(body ?? []) },
        accessKeyId,
        secretAccessKey: accessKeySecret,
        ...(sessionToken === undefined ? {} : { sessionToken }),
        service: 's3',
        region,
      });
      const signed = await signer.sign();
      signed.headers.forEach((value, name) => {
        if (name !== 'host') headers[name] = value; // set from the URL
      });
    }
    return client.send({ method, url, headers, limit, signal, ...(body ? { body } : {}) });
  };
};

const sha256Of = (body: readonly Buffer[]): string => {
  const hash = createHash('sha256');
  for (const bytes of body) hash.update(bytes);
  return hash.digest('hex');
};
