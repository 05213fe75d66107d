/**
 * Manifests that name another as their subject: as the registry lists them or, where it does not,
 * in an index under a tag made of the subject's digest.
 *
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
 */
import { contextOf, RafsError } from '../../lib/errors.js';
import { MOST_MANIFEST, type Descriptor } from '../../lib/oci/descriptor.js';
import { headersOf } from '../http/answer.js';
import { pullScope } from './client.js';
import { digestOf, findManifest, putManifest, type Repository } from './manifests.js';

const INDEX = 'application/vnd.oci.image.index.v1+json';
/** Most pages of a list that are read. */
const MOST_PAGES = 100;

export const referrersOf = async (
  repository: Repository,
  digest: string,
  artifactType: string | undefined,
  signal: AbortSignal,
): Promise<Descriptor[]> => {
  const found = (await listed(repository, digest, artifactType, signal)) ?? {
    ...(await tagged(repository, digest, signal)),
  };
  const all = found.manifests ?? [];
  // a registry need not filter
  return artifactType === undefined ? all : all.filter(one => one.artifactType === artifactType);
};

/** `sha256:HEX` as a tag. */
const tagOf = (digest: string): string => digest.replace(':', '-').slice(0, 128);

interface List {
  manifests?: Descriptor[];
}

/** The registry's list; undefined if it does not keep one. */
const listed = async (
  { registry, name }: Repository,
  digest: string,
  artifactType: string | undefined,
  signal: AbortSignal,
): Promise<List | undefined> => {
  const filter =
    artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType }).toString()}`;
  const manifests: Descriptor[] = [];
  let path: string | URL | undefined = `referrers/${digest}${filter}`;
  for (let page = 0; path !== undefined; page++) {
    if (page === MOST_PAGES) {
      throw new RafsError('LIMIT', `the registry sent more than ${MOST_PAGES} pages of referrers`, {
        registry: registry.host,
        repository: name,
      });
    }
    const answer = await registry.ask({
      method: 'GET',
      repository: name,
      path,
      scopes: [pullScope(name)],
      headers: { accept: INDEX },
      limit: MOST_MANIFEST,
      accept: page === 0 ? [400, 404, 405, 501] : [],
      signal,
    });
    if (answer.status >= 400) return undefined;
    const list = listIn(answer.body);
    // some answer every path with a page for people
    if (!list) return undefined;
    manifests.push(...list);
    path = nextIn(headersOf(answer, 'link'), answer.url);
  }
  return { manifests };
};

const nextIn = (links: readonly string[], base: string): URL | undefined => {
  for (const link of links) {
    const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/i.exec(link)?.[1];
    if (target !== undefined && URL.canParse(target, base)) {
      const url = new URL(target, base);
      return url.origin === new URL(base).origin ? url : undefined;
    }
  }
  return undefined;
};

const tagged = async (
  repository: Repository,
  digest: string,
  signal: AbortSignal,
): Promise<List & { index?: Record<string, unknown> }> => {
  const manifest = await findManifest(repository, tagOf(digest), { signal });
  const manifests = manifest && listIn(manifest.bytes);
  return manifests ? { manifests } : {};
};

/** The descriptors of an index; undefined if it is none. */
const listIn = (bytes: Buffer): Descriptor[] | undefined => {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  const manifests = (value as { manifests?: unknown } | null)?.manifests;
  if (!Array.isArray(manifests)) return undefined;
  return manifests.filter(isDescriptor);
};

const isDescriptor = (value: unknown): value is Descriptor => {
  if (typeof value !== 'object' || value === null) return false;
  const { mediaType, digest, size } = value as Record<string, unknown>; // it may have any keys
  return typeof mediaType === 'string' && typeof digest === 'string' && Number.isSafeInteger(size);
};

/** Adds a manifest to the index of its subject, for registries that keep no list of their own. */
export const tagReferrer = async (
  repository: Repository,
  subject: string,
  referrer: Descriptor,
  signal: AbortSignal,
): Promise<void> => {
  try {
    const { manifests = [] } = await tagged(repository, subject, signal);
    if (manifests.some(({ digest }) => digest === referrer.digest)) return;
    const index = { schemaVersion: 2, mediaType: INDEX, manifests: [...manifests, referrer] };
    const bytes = Buffer.from(JSON.stringify(index));
    const manifest = { bytes, mediaType: INDEX, digest: digestOf(bytes) };
    await putManifest(repository, manifest, tagOf(subject), signal);
  } catch (error) {
    if (contextOf(error).status === undefined) throw error;
    const { registry, name } = repository;
    throw new RafsError(
      'BACKEND',
      'the manifest is stored, but not listed as a referrer of its subject',
      { registry: registry.host, repository: name, subject },
      { cause: error },
    );
  }
};
