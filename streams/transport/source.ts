/** Where an image comes from: a registry, a directory or an archive. */
import type { Readable } from 'node:stream';
import type { Descriptor, RawManifest } from '../../lib/oci/descriptor.js';

export interface BlobRange {
  offset?: number;
  length?: number;
  signal?: AbortSignal;
}

export interface ImageSource {
  /** as a user would write it */
  readonly name: string;
  /** The image's own manifest or index, or the one with this digest. Its bytes match the digest. */
  manifest(digest?: string): Promise<RawManifest>;
  /** The bytes of a blob. Whoever reads them compares them with the digest. */
  open(blob: { digest: string; size?: number }, range?: BlobRange): Promise<Readable>;
  /** Manifests that name this one as their subject; absent if the source cannot know any. */
  referrers?(digest: string, artifactType?: string): Promise<Descriptor[]>;
  close(): Promise<void>;
}
