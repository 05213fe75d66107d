/** The tar of a bootstrap layer: the merged bootstrap, and the tables of each blob beside it. */
import { BLOCK_SIZE, TarType } from '../layout/tar.js';
import { bareHeader } from '../tar/header.js';
import { alignUp } from '../layout/align.js';

/** Where readers look for the bootstrap. */
export const BOOTSTRAP_PATH = 'image/image.boot';

/** Chunk tables of one blob, as nydusd caches them. */
export interface BlobMeta {
  /** hex digest of the data layer */
  id: string;
  bytes: readonly Buffer[];
}

export interface BootstrapFile {
  size: number;
  pieces: Iterable<Buffer>;
}

/** Exactly nydusify's entries, as Go's archive/tar writes them, so that diff ids are equal. */
export function* bootstrapTar(
  bootstrap: BootstrapFile,
  metas: readonly BlobMeta[],
): Generator<Buffer> {
  yield bareHeader('image', TarType.DIRECTORY, 0o755, 0);
  yield bareHeader(BOOTSTRAP_PATH, TarType.FILE, 0o444, bootstrap.size);
  yield* bootstrap.pieces;
  yield* padding(bootstrap.size);
  for (const { id, bytes } of metas) {
    const size = bytes.reduce((sum, piece) => sum + piece.length, 0);
    if (size === 0) continue;
    yield bareHeader(`image/${id}.blob.meta`, TarType.FILE, 0o444, size);
    yield* bytes;
    yield* padding(size);
  }
  yield Buffer.alloc(2 * BLOCK_SIZE);
}

function* padding(size: number): Generator<Buffer> {
  const missing = alignUp(size, BLOCK_SIZE) - size;
  if (missing > 0) yield Buffer.alloc(missing);
}
