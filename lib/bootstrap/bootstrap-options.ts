/** What a bootstrap is planned from, whichever version it is. */
import type { RafsVersion } from '../model/version.js';
import type { Compressor } from '../layout/compressors.js';
import type { Digester } from '../crypto/digest.js';

export interface BootstrapOptions {
  fsVersion: RafsVersion;
  compressor: Compressor;
  digester: Digester;
  chunkSize: number;
  explicitUidGid: boolean;
  /** states that blobs are encrypted, even if none in the blob table is */
  encrypted?: boolean;
  /** 512-byte blocks, no chunk digests */
  tarfs?: boolean;
  /** paths whose inodes go to the prefetch table, in order */
  prefetch?: readonly string[];
  /** states that there are xattrs, whether or not there are any; v6 only */
  hasXattrs?: boolean;
}

export interface PlannedBootstrap {
  hasXattrs: boolean;
  /** it holds the key of an encrypted blob */
  secret: boolean;
  /** bytes of all pieces together */
  size: number;
  /** the bytes, front to back */
  pieces: Iterable<Buffer>;
  /** the same in two parts; everything that depends on ids of blobs is in the first. v6 only */
  split?: { head: () => Buffer; rest: Iterable<Buffer> };
}
