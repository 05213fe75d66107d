/** An image in the form of an OCI layout: in a directory, or in an archive of one. */
import { createHash } from 'node:crypto';
import { Annotation } from '../../lib/oci/annotations.js';
import { parseDigest, type Descriptor, type RawManifest } from '../../lib/oci/descriptor.js';
import { parseManifest, type Index } from '../../lib/oci/manifest.js';
import { MediaType } from '../../lib/oci/media-types.js';
import { RafsError } from '../../lib/errors.js';
import { readDocument, type FileStore } from './file-store.js';
import type { ImageSource } from './source.js';

export const blobPath = (digest: string): string => {
  const { algorithm, hex } = parseDigest(digest);
  return `blobs/${algorithm}/${hex}`;
};

export const INDEX = 'index.json';
export const LAYOUT = 'oci-layout';

/** Which image of a layout is meant. */
export interface LayoutReference {
  tag?: string | undefined;
  digest?: string | undefined;
}

/** Opens the image of a layout. Fails with USAGE if several are there and none is named. */
export const layoutSource = (
  name: string,
  store: FileStore,
  wanted: LayoutReference,
): ImageSource => {
  const stored = async (of: { digest: string; mediaType: string }): Promise<RawManifest> => {
    const bytes = await readDocument(store, blobPath(of.digest));
    checkDocument(bytes, of.digest);
    return { bytes, ...of };
  };
  let index: Promise<Index> | undefined;
  const readIndex = async (): Promise<Index> => {
    const bytes = await readDocument(store, INDEX);
    const parsed = parseManifest({ bytes, mediaType: MediaType.INDEX, digest: INDEX });
    if (parsed.kind === 'index') return parsed;
    throw new RafsError('CORRUPT', 'expected an index', { file: INDEX });
  };
  return {
    name,
    async manifest(digest) {
      const { manifests } = await (index ??= readIndex());
      if (digest === undefined) {
        const { digest: found, mediaType } = chosen(manifests, wanted, name);
        return stored({ digest: found, mediaType });
      }
      const known = manifests.find(one => one.digest === digest);
      return stored({ digest, mediaType: known?.mediaType ?? '' });
    },
    async open({ digest }, range) {
      const file = blobPath(digest);
      if ((await store.find(file)) === undefined) {
        throw new RafsError('BACKEND', 'the image has no such blob', { digest, image: name });
      }
      return store.open(file, range);
    },
    async referrers(digest, artifactType) {
      const { manifests } = await (index ??= readIndex());
      const found: Descriptor[] = [];
      for (const one of manifests) {
        const document = parseManifest(await stored(one));
        if (document.subject?.digest !== digest) continue;
        const type =
          document.artifactType ??
          (document.kind === 'manifest' ? document.config.mediaType : undefined);
        if (artifactType !== undefined && type !== artifactType) continue;
        found.push({ ...one, ...(type === undefined ? {} : { artifactType: type }) });
      }
      return found;
    },
    close: () => store.close(),
  };
};

/** Compares a document with the digest by which it was asked for. */
export const checkDocument = (bytes: Buffer, digest: string): void => {
  const { algorithm, hex } = parseDigest(digest);
  const found = createHash(algorithm).update(bytes).digest('hex');
  if (found === hex) return;
  throw new RafsError('MISMATCH', `expected a document with ${algorithm} ${hex}, got ${found}`, {
    digest,
  });
};

const chosen = (
  manifests: readonly Descriptor[],
  { tag, digest }: LayoutReference,
  image: string,
): Descriptor => {
  const at = { image };
  const nameOf = ({ annotations = {} }: Descriptor): string =>
    annotations[Annotation.REF_NAME] ?? annotations[Annotation.CONTAINERD_IMAGE_NAME] ?? '';
  const listed = manifests.map(nameOf).filter(Boolean).join(', ') || 'none has a name';
  if (digest !== undefined) {
    const found = manifests.find(one => one.digest === digest);
    return found ?? { mediaType: '', digest, size: 0 };
  }
  if (tag !== undefined) {
    const found = manifests.filter(one => nameOf(one) === tag || nameOf(one).endsWith(`:${tag}`));
    const exact = found.find(one => nameOf(one) === tag) ?? found[0];
    if (exact) return exact;
    throw new RafsError('USAGE', `there is no image named '${tag}', only: ${listed}`, at);
  }
  const distinct = new Set(manifests.map(one => one.digest));
  if (distinct.size === 1) return manifests[0]!;
  throw new RafsError(
    'USAGE',
    distinct.size === 0 ? 'there is no image' : `several images, name one of: ${listed}`,
    at,
  );
};
