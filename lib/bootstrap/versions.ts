/** How each version of RAFS is recognized, read and written. */
import { SuperFlag } from '../layout/rafs.js';
import type { ChunkTable } from '../chunk/chunk-table.js';
import { hasFlag } from '../layout/struct.js';
import { holdsKey, type BlobInfo } from '../model/blob.js';
import type { RafsVersion } from '../model/version.js';
import type { Tree } from '../tree/tree.js';
import type { BootstrapOptions, PlannedBootstrap } from './bootstrap-options.js';
import type { Bootstrap } from './bootstrap.js';
import type { FindExtent } from './extent.js';
import type { RecordPlace } from './record-place.js';
import { emitV5 } from './v5/emit.js';
import { extentOfV5 } from './v5/extent.js';
import { planV5 } from './v5/plan.js';
import { parseV5 } from './v5/reader.js';
import { recordsV5 } from './v5/records.js';
import { isV5 } from './v5/tables.js';
import { behindHead, emitV6, head } from './v6/emit.js';
import { extentOfV6 } from './v6/extent.js';
import { planV6 } from './v6/plan.js';
import { parseV6 } from './v6/reader.js';
import { recordsV6 } from './v6/records.js';
import { isV6 } from './v6/tables.js';

export interface Version {
  /** Whether bytes start like a bootstrap of it; 4096 of them are enough to tell. */
  readonly is: (head: Buffer) => boolean;
  /** @param head `HEAD_SIZE` bytes, or the whole file */
  readonly extent: FindExtent;
  readonly parse: (image: Buffer) => Bootstrap;
  /** @param flags of the superblock, as far as they are the same in all versions */
  readonly plan: (
    tree: Tree,
    chunks: ChunkTable,
    blobs: readonly BlobInfo[],
    flags: number,
    options: Omit<BootstrapOptions, 'fsVersion'>,
  ) => PlannedBootstrap;
  /** The superblocks, and the first record of each table. */
  readonly records: (bootstrap: Bootstrap, image: Buffer) => RecordPlace[];
}

const saysXattrs = (flags: number): boolean => hasFlag(flags, SuperFlag.HAS_XATTR);

const withXattrs = <P extends { flags: number }>(plan: P, hasXattrs: boolean): P =>
  hasXattrs && !saysXattrs(plan.flags)
    ? { ...plan, flags: plan.flags + SuperFlag.HAS_XATTR }
    : plan;

export const VERSIONS: Readonly<Record<RafsVersion, Version>> = {
  5: {
    is: isV5,
    extent: extentOfV5,
    parse: parseV5,
    records: recordsV5,
    plan(tree, chunks, blobs, flags, { chunkSize, prefetch = [] }) {
      const plan = planV5(tree, chunks, blobs, { chunkSize, prefetch, flags });
      return {
        hasXattrs: saysXattrs(plan.flags),
        secret: holdsKey(blobs),
        size: plan.size,
        pieces: emitV5(plan),
      };
    },
  },
  6: {
    is: isV6,
    extent: extentOfV6,
    parse: parseV6,
    records: recordsV6,
    plan(tree, chunks, blobs, flags, options) {
      const { chunkSize, prefetch = [], tarfs = false, hasXattrs = false } = options;
      const encrypted = options.encrypted || holdsKey(blobs);
      const cipher = encrypted ? SuperFlag.ENCRYPTION_AES_128_XTS : SuperFlag.ENCRYPTION_NONE;
      const given = { chunkSize, prefetch, tarfs, flags: flags + cipher };
      const plan = withXattrs(planV6(tree, chunks, blobs, given), hasXattrs);
      return {
        hasXattrs: saysXattrs(plan.flags),
        secret: holdsKey(blobs),
        size: plan.size,
        pieces: emitV6(plan),
        split: { head: () => head(plan), rest: behindHead(plan) },
      };
    },
  },
};
