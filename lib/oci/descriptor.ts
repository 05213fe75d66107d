/** Descriptors: how the documents of an image name one another, and its blobs. */

/** What an image of an index runs on. */
export interface Platform {
  architecture: string;
  os: string;
  'os.version'?: string;
  'os.features'?: string[];
  variant?: string;
}

export interface Descriptor {
  mediaType: string;
  /** `sha256:` and 64 hex digits; sha512 is read, too */
  digest: string;
  size: number;
  annotations?: Record<string, string>;
  platform?: Platform;
  urls?: string[];
  artifactType?: string;
  data?: string;
}

/** A manifest or index as it is stored: its digest is that of these bytes. */
export interface RawManifest {
  bytes: Buffer;
  mediaType: string;
  digest: string;
}
