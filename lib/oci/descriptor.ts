/** Descriptors: how the documents of an image name one another, and its blobs. */
import { RafsError } from '../errors.js';

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

/** Most bytes of a manifest: registries refuse larger ones. */
export const MOST_MANIFEST = 0x40_0000;

/** Characters of a digest in hex, by algorithm. */
const HEX_LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** `sha256:HEX` in its parts; refuses an algorithm that cannot be checked. */
export const parseDigest = (digest: string): { algorithm: 'sha256' | 'sha512'; hex: string } => {
  const [, algorithm = '', hex = ''] = /^([a-z0-9]+(?:[.+_-][a-z0-9]+)*):(.*)$/.exec(digest) ?? [];
  if (algorithm === '') throw new RafsError('UNSUPPORTED', `invalid digest '${digest}'`);
  const length = Object.hasOwn(HEX_LENGTHS, algorithm) ? HEX_LENGTHS[algorithm] : undefined;
  if (length === undefined) {
    throw new RafsError('UNSUPPORTED', `unknown digest algorithm '${algorithm}'`, { digest });
  }
  if (!/^[0-9a-f]+$/.test(hex) || hex.length !== length) {
    throw new RafsError('CORRUPT', `invalid digest '${digest}'`);
  }
  return { algorithm: algorithm as 'sha256' | 'sha512', hex }; // they are the table's keys
};
