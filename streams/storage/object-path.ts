/** Names of blobs in a bucket, plain and for URLs. */
import type { BucketSettings } from '../../lib/config/backends.js';
import { shown } from '../../lib/model/names.js';

/** The object's name with each path component percent-encoded. */
export const objectPath = (backend: Pick<BucketSettings, 'objectPrefix'>, id: string): string =>
  objectName(backend, id).split('/').map(encodeURIComponent).join('/');

export const objectName = (
  { objectPrefix }: Pick<BucketSettings, 'objectPrefix'>,
  id: string,
): string => `${objectPrefix}${shown(id)}`;
