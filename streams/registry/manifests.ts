/** Manifests and indexes of a repository: small documents, checked against their digests. */
import { createHash } from 'node:crypto';
import { contextOf, RafsError } from '../../lib/errors.js';
import { MOST_MANIFEST, parseDigest, type RawManifest } from '../../lib/oci/descriptor.js';
import { headerOf, TransientError } from '../http/answer.js';
import { pullScope, pushScope, type Registry } from './client.js';

/** What may come; registries choose by it. */
const ACCEPTED = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5',
  'application/json;q=0.4',
].join(', ');

/** A repository of a registry. */
export interface Repository {
  registry: Registry;
  name: string;
}

export interface ManifestOptions {
  signal: AbortSignal;
  accept?: string;
}

/** A manifest by its tag or digest. */
export const getManifest = async (
  { registry, name }: Repository,
  reference: string,
  { signal, accept = ACCEPTED }: ManifestOptions,
): Promise<RawManifest> => {
  const answer = await registry.ask({
    method: 'GET',
    repository: name,
    path: `manifests/${reference}`,
    scopes: [pullScope(name)],
    headers: { accept },
    limit: MOST_MANIFEST,
    signal,
  });
  const { body } = answer;
  const place = { registry: registry.host, repository: name, manifest: reference };
  const named = reference.includes(':') ? reference : headerOf(answer, 'docker-content-digest');
  const digest = named ?? digestOf(body);
  const found = digestOf(body, parseDigest(digest).algorithm);
  if (found !== digest) {
    throw new RafsError('MISMATCH', `the manifest has digest ${found}, expected ${digest}`, place);
  }
  return { bytes: body, mediaType: mediaTypeOf(headerOf(answer, 'content-type'), body), digest };
};

/** A manifest by its tag or digest; undefined if there is none. */
export const findManifest = async (
  repository: Repository,
  reference: string,
  options: ManifestOptions,
): Promise<RawManifest | undefined> => {
  try {
    return await getManifest(repository, reference, options);
  } catch (error) {
    if (contextOf(error).status === 404) return undefined;
    throw error;
  }
};

/** Stores a manifest under a tag or its digest; whether the registry noted its subject. */
export const putManifest = async (
  { registry, name }: Repository,
  { bytes, mediaType, digest }: RawManifest,
  tag: string | undefined,
  signal: AbortSignal,
): Promise<{ subject: boolean }> => {
  const place = { registry: registry.host, repository: name, manifest: tag ?? digest };
  if (bytes.length > MOST_MANIFEST) {
    const text = `a manifest of ${bytes.length} bytes exceeds the ${MOST_MANIFEST} that registries take`;
    throw new RafsError('LIMIT', text, place);
  }
  const answer = await registry
    .ask({
      method: 'PUT',
      repository: name,
      path: `manifests/${tag ?? digest}`,
      scopes: [pushScope(name)],
      headers: { 'content-type': mediaType },
      body: [bytes],
      limit: MOST_MANIFEST,
      signal,
    })
    .catch(async (error: unknown) => {
      if (!(error instanceof TransientError)) throw error;
      // its answers may be all that was lost
      const repository = { registry, name };
      const found = await findManifest(repository, tag ?? digest, { signal }).catch(
        () => undefined,
      );
      if (found?.digest !== digest) throw error;
      return { headers: {}, status: 201, url: '' };
    });
  const stored = headerOf(answer, 'docker-content-digest') ?? digest;
  if (stored !== digest) {
    throw new RafsError('MISMATCH', `the registry stored ${stored}, expected ${digest}`, place);
  }
  return { subject: headerOf(answer, 'oci-subject') !== undefined };
};

export const digestOf = (bytes: Buffer, algorithm = 'sha256'): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;

const plainType = (type: string | undefined): string => (type ?? '').split(';')[0]!.trim();

/** What the registry says, or the document itself if that says nothing. */
const mediaTypeOf = (header: string | undefined, bytes: Buffer): string => {
  const type = plainType(header);
  if (type.startsWith('application/vnd.')) return type;
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    const named = (value as { mediaType?: unknown } | null)?.mediaType;
    if (typeof named === 'string') return named;
  } catch {
    // who reads it will say so
  }
  return type;
};
