/** Where a blob lies in a bucket, for addresses. */
import type { BucketBackend } from '../../lib/backend-config.js';

/** The object's name, each of its parts encoded. */
export const objectPath = (backend: Pick<BucketBackend, 'objectPrefix'>, id: string): string =>
  objectName(backend, id).split('/').map(encodeURIComponent).join('/');

export const objectName = (
  { objectPrefix }: Pick<BucketBackend, 'objectPrefix'>,
  id: string,
): string => `${objectPrefix}${Buffer.from(id, 'latin1').toString('utf8')}`;
