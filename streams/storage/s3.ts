/** Blobs in a bucket of S3 or a compatible service, with the bucket in the URL's path. */
import { AwsV4Signer } from 'aws4fetch';
import type { BucketBackend } from '../../lib/config/backends.js';
import type { Storage } from './storage.js';
import { HttpClient } from '../http/client.js';
import { objectPath } from './object-path.js';
import { RemoteStorage } from './remote-storage.js';

export const s3 = (backend: BucketBackend): Storage => {
  const { scheme, endpoint, region, bucketName, accessKeyId, accessKeySecret, sessionToken } =
    backend;
  const client = new HttpClient({ http: backend.http, host: endpoint });
  return new RemoteStorage(client, async ({ method, id, range, limit, signal }) => {
    const url = new URL(`${scheme}://${endpoint}/${bucketName}/${objectPath(backend, id)}`);
    const headers: Record<string, string> = range === undefined ? {} : { range };
    // a public bucket needs no signature
    if (accessKeyId !== '') {
      const signer = new AwsV4Signer({
        method,
        url: url.href,
        headers: { 'x-amz-content-sha256': SHA256_OF_NOTHING },
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
    return client.send({ method, url, headers, limit, signal });
  });
};

const SHA256_OF_NOTHING = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
