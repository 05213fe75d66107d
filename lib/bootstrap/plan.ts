/** Plans a bootstrap of any version. */
import type { ChunkTable } from '../chunk/chunk-table.js';
import { COMPRESSION_FLAGS } from '../layout/compressors.js';
import { DIGEST_FLAGS, SuperFlag } from '../layout/rafs.js';
import type { BlobInfo } from '../model/blob.js';
import type { Tree } from '../tree/tree.js';
import type { BootstrapOptions, PlannedBootstrap } from './bootstrap-options.js';
import { VERSIONS } from './versions.js';

/** Decides every offset. LIMIT for what does not fit the format. v5 needs `prepareDigests`. */
export const planBootstrap = (
  tree: Tree,
  chunks: ChunkTable,
  blobs: readonly BlobInfo[],
  { fsVersion, ...options }: BootstrapOptions,
): PlannedBootstrap => {
  const flags =
    COMPRESSION_FLAGS[options.compressor] +
    DIGEST_FLAGS[options.digester] +
    (options.explicitUidGid ? SuperFlag.EXPLICIT_UID_GID : 0);
  return VERSIONS[fsVersion].plan(tree, chunks, blobs, flags, options);
};
