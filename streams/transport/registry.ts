/** Images of a registry, as source and as target. */
import type { Readable } from 'node:stream';
import { RafsError } from '../../lib/errors.js';
import type { Descriptor, RawManifest } from '../../lib/oci/descriptor.js';
import {
  formatReference,
  manifestName,
  parseReference,
  type Reference,
} from '../../lib/oci/reference.js';
import { openBlob } from '../registry/blob-download.js';
import { headBlob, uploadBlob } from '../registry/blob-upload.js';
import { Registry, type RegistryOptions } from '../registry/client.js';
import { digestOf, getManifest, putManifest, type Repository } from '../registry/manifests.js';
import { mountBlob } from '../registry/mount.js';
import { referrersOf, tagReferrer } from '../registry/referrers.js';
import type { BlobRange, ImageSource } from './source.js';
import type { ImageTarget, PutOptions } from './target.js';

export type RegistryTransportOptions = Omit<RegistryOptions, 'host'> & { signal?: AbortSignal };

class RegistryImage {
  readonly name: string;
  readonly reference: Reference;
  readonly repository: Repository;
  readonly stop = new AbortController();
  readonly #release: (() => void) | undefined;

  constructor(text: string, { signal, ...options }: RegistryTransportOptions) {
    this.reference = parseReference(text);
    this.name = `docker://${formatReference(this.reference)}`;
    const { host, repository } = this.reference;
    this.repository = { registry: new Registry({ ...options, host }), name: repository };
    if (!signal) return;
    const abort = (): void => this.stop.abort(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    this.#release = () => signal.removeEventListener('abort', abort);
  }

  get signal(): AbortSignal {
    return this.stop.signal;
  }

  async close(): Promise<void> {
    this.#release?.();
    this.stop.abort();
    await this.repository.registry.close();
  }
}

export class RegistrySource implements ImageSource {
  readonly name: string;
  readonly #image: RegistryImage;

  constructor(text: string, options: RegistryTransportOptions = {}) {
    this.#image = new RegistryImage(text, options);
    this.name = this.#image.name;
  }

  /** Where a target of the same registry finds the blobs. */
  get reference(): Reference {
    return this.#image.reference;
  }

  manifest(digest?: string): Promise<RawManifest> {
    const { repository, reference, signal } = this.#image;
    return getManifest(repository, digest ?? manifestName(reference), { signal });
  }

  open(
    blob: { digest: string; size?: number },
    { signal, ...range }: BlobRange = {},
  ): Promise<Readable> {
    const { digest, size } = blob;
    const { repository, signal: own } = this.#image;
    const request = { digest, ...(size === undefined ? {} : { size }), ...range };
    return openBlob(repository, { ...request, signal: either(own, signal) });
  }

  referrers(digest: string, artifactType?: string): Promise<Descriptor[]> {
    const { repository, signal } = this.#image;
    return referrersOf(repository, digest, artifactType, signal);
  }

  close(): Promise<void> {
    return this.#image.close();
  }
}

export class RegistryTarget implements ImageTarget {
  readonly name: string;
  readonly #image: RegistryImage;

  constructor(text: string, options: RegistryTransportOptions = {}) {
    this.#image = new RegistryImage(text, options);
    this.name = this.#image.name;
    if (this.#image.reference.digest !== undefined) {
      throw new RafsError('USAGE', `an image must be pushed to a tag, not to a digest: '${text}'`);
    }
  }

  async has({ digest, size }: { digest: string; size?: number }): Promise<boolean> {
    const { repository, signal } = this.#image;
    const found = await headBlob(repository, digest, signal);
    return found !== undefined && (size === undefined || found === undefined || found === size);
  }

  put(
    bytes: AsyncIterable<Buffer>,
    { signal, ...due }: PutOptions,
  ): Promise<{ digest: string; size: number }> {
    const { repository, signal: own } = this.#image;
    return uploadBlob(repository, bytes, { ...due, signal: either(own, signal) });
  }

  async mount({ digest }: Descriptor, from: ImageSource): Promise<boolean> {
    const { repository, reference, signal } = this.#image;
    if (!(from instanceof RegistrySource) || from.reference.host !== reference.host) return false;
    if (from.reference.repository === reference.repository) return false;
    return mountBlob(repository, digest, from.reference.repository, signal);
  }

  async putManifest(
    bytes: Buffer,
    mediaType: string,
    named?: { tag?: string },
  ): Promise<Descriptor> {
    const { repository, reference, signal } = this.#image;
    const manifest = { bytes, mediaType, digest: digestOf(bytes) };
    const tag = named && (named.tag ?? manifestName(reference));
    const { subject: isNoted } = await putManifest(repository, manifest, tag, signal);
    const descriptor: Descriptor = { mediaType, digest: manifest.digest, size: bytes.length };
    const { subject, ...more } = subjectIn(bytes);
    if (subject !== undefined && !isNoted) {
      await tagReferrer(repository, subject, { ...descriptor, ...more }, signal);
    }
    return descriptor;
  }

  close(): Promise<void> {
    return this.#image.close();
  }
}

const either = (own: AbortSignal, other: AbortSignal | undefined): AbortSignal =>
  other ? AbortSignal.any([own, other]) : own;

/** The digest of the subject, and what the list of its referrers shows of a manifest. */
const subjectIn = (
  bytes: Buffer,
): { subject?: string; artifactType?: string; annotations?: Record<string, string> } => {
  interface Manifest {
    subject?: { digest?: unknown };
    artifactType?: unknown;
    config?: { mediaType?: unknown };
    annotations?: Record<string, string>;
  }
  let manifest: Manifest | null;
  try {
    manifest = JSON.parse(bytes.toString('utf8')) as Manifest | null; // ours, or checked by the registry
  } catch {
    return {};
  }
  const subject = manifest?.subject?.digest;
  if (typeof subject !== 'string') return {};
  const type = manifest?.artifactType ?? manifest?.config?.mediaType;
  const annotations = manifest?.annotations;
  return {
    subject,
    ...(typeof type === 'string' ? { artifactType: type } : {}),
    ...(annotations === undefined ? {} : { annotations }),
  };
};
