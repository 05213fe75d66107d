/** Where an image goes: a registry, a directory or an archive. */
import type { Descriptor } from '../../lib/oci/descriptor.js';
import type { ImageSource } from './source.js';

export interface PutOptions {
  /** what the bytes must have; a blob that differs is not stored */
  digest?: string;
  size?: number;
  signal?: AbortSignal;
  /** it holds the key of encrypted blobs: in a file, nobody but the user may read it */
  secret?: boolean;
}

export interface ImageTarget {
  /** as a user would write it */
  readonly name: string;
  /** Whether a blob need not be sent. */
  has(blob: { digest: string; size?: number }): Promise<boolean>;
  /** Stores a blob while it is being made; a slow target slows down who makes it. */
  put(bytes: AsyncIterable<Buffer>, options: PutOptions): Promise<{ digest: string; size: number }>;
  /** Takes over a blob from a place that the target can reach; false if it cannot. */
  mount?(blob: Descriptor, from: ImageSource): Promise<boolean>;
  /**
   * Stores a manifest or index. With a `reference` it is the image itself, which exists once this
   * resolves, under that tag or, without one, under the name that the target was opened with.
   */
  putManifest(bytes: Buffer, mediaType: string, reference?: { tag?: string }): Promise<Descriptor>;
  /** Completes what was written, or gives up what was not completed by a manifest. */
  close(): Promise<void>;
}
