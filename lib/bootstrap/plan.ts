/** Plans and writes a bootstrap of either version. */
import { COMPRESSION_FLAGS } from '../layout/compressors.js';
import { DIGEST_FLAGS } from '../layout/rafs.js';
import { planV5 } from './v5/plan.js';
import { planV6 } from './v6/plan.js';
import type { ChunkTable } from '../chunk/chunk-table.js';
import type { Compressor } from '../layout/compressors.js';
import type { Digester } from '../crypto/digest.js';
import { emitV5 } from './v5/emit.js';
import { behindHead, emitV6, head } from './v6/emit.js';
import { SuperFlag } from '../layout/rafs.js';
import type { BlobInfo } from '../model/blob.js';
import type { Tree } from '../tree/tree.js';

export interface BootstrapOptions {
  fsVersion: 5 | 6;
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
  /** bytes of all pieces together */
  size: number;
  /** the bytes, front to back */
  pieces: Iterable<Buffer>;
  /** the same in two parts; everything that depends on ids of blobs is in the first. v6 only */
  split?: { head: () => Buffer; rest: Iterable<Buffer> };
}

/** Decides every offset. LIMIT for what does not fit the format. v5 needs `prepareDigests`. */
export const planBootstrap = (
  tree: Tree,
  chunks: ChunkTable,
  blobs: readonly BlobInfo[],
  { fsVersion, hasXattrs = false, ...options }: BootstrapOptions,
): PlannedBootstrap => {
  const given = {
    chunkSize: options.chunkSize,
    prefetch: options.prefetch ?? [],
    flags:
      COMPRESSION_FLAGS[options.compressor] +
      DIGEST_FLAGS[options.digester] +
      (options.explicitUidGid ? SuperFlag.EXPLICIT_UID_GID : 0),
  };
  if (fsVersion === 5) {
    const plan = planV5(tree, chunks, blobs, given);
    return { hasXattrs: saysXattrs(plan.flags), size: plan.size, pieces: emitV5(plan) };
  }
  const encrypted = options.encrypted || blobs.some(({ cipherIv }) => cipherIv);
  const cipher = encrypted ? SuperFlag.ENCRYPTION_AES_128_XTS : SuperFlag.ENCRYPTION_NONE;
  const plan = planV6(tree, chunks, blobs, {
    ...given,
    flags: given.flags + cipher,
    tarfs: options.tarfs ?? false,
  });
  const said = withXattrs(plan, hasXattrs);
  return {
    hasXattrs: saysXattrs(said.flags),
    size: said.size,
    pieces: emitV6(said),
    split: { head: () => head(said), rest: behindHead(said) },
  };
};

const saysXattrs = (flags: number): boolean => Math.floor(flags / SuperFlag.HAS_XATTR) % 2 === 1;

const withXattrs = <P extends { flags: number }>(plan: P, hasXattrs: boolean): P =>
  hasXattrs && !saysXattrs(plan.flags)
    ? { ...plan, flags: plan.flags + SuperFlag.HAS_XATTR }
    : plan;
