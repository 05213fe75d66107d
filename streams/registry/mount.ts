/** Blobs of one repository in another of the same registry, without sending them. */
import { parseDigest } from '../../lib/oci/descriptor.js';
import { contextOf } from '../../lib/errors.js';
import { headerOf } from '../http/answer.js';
import { cancelUpload } from './blob-upload.js';
import { pullScope, pushScope } from './client.js';
import type { Repository } from './manifests.js';

/** Whether the registry took the blob over; if not, it must be sent. */
export const mountBlob = async (
  { registry, name }: Repository,
  digest: string,
  from: string,
  signal: AbortSignal,
): Promise<boolean> => {
  parseDigest(digest);
  try {
    const answer = await registry.ask({
      method: 'POST',
      repository: name,
      path: `blobs/uploads/?${new URLSearchParams({ mount: digest, from }).toString()}`,
      scopes: [pushScope(name), pullScope(from)],
      limit: 0x10000,
      signal,
    });
    if (answer.status === 201) return true;
    const location = headerOf(answer, 'location');
    if (location !== undefined && URL.canParse(location, answer.url)) {
      await cancelUpload(registry, name, new URL(location, answer.url));
    }
    return false;
  } catch (error) {
    // it may be ours to write to, and the other not ours to read; sending will show
    if ([400, 401, 403, 404, 405].includes(Number(contextOf(error).status))) return false;
    throw error;
  }
};
