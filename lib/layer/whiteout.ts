/** Whiteouts: objects of an upper layer that delete names of the layers below. */
import { RafsError } from '../errors.js';
import type { Entry } from '../model/entry.js';

/** How whiteouts are written: as in OCI layers, as in overlayfs upper dirs, or not at all. */
export type WhiteoutSpec = 'oci' | 'overlayfs' | 'none';

/** Deletes one lower name, or all lower names of a directory. */
export type Whiteout = 'removal' | 'opaque';

export const OCI_PREFIX = '.wh.';
export const OCI_OPAQUE = '.wh..wh..opq';
/** What a whiteout cannot delete: its own directory, or the one above. */
const NO_NAMES: readonly string[] = ['', '.', '..'];
export const OVERLAYFS_OPAQUE = 'trusted.overlay.opaque';

/** The facts about an entry that can make it a whiteout. */
export type WhiteoutEntry = Pick<Entry, 'path' | 'type' | 'rdev' | 'xattrs'>;

/**
 * What an entry deletes, if it is a whiteout. An overlayfs-opaque directory is one, but is also an
 * ordinary directory. CORRUPT for an OCI whiteout without the name of what it deletes.
 */
export const whiteoutOf = (spec: WhiteoutSpec, entry: WhiteoutEntry): Whiteout | undefined => {
  switch (spec) {
    case 'oci': {
      const name = nameOf(entry.path);
      if (!name.startsWith(OCI_PREFIX)) return undefined;
      if (NO_NAMES.includes(name.slice(OCI_PREFIX.length))) {
        const message = `the whiteout '${name}' does not name anything to delete`;
        throw new RafsError('CORRUPT', message, { path: entry.path });
      }
      return name === OCI_OPAQUE ? 'opaque' : 'removal';
    }
    case 'overlayfs':
      if (entry.type === 'char' && entry.rdev === 0) return 'removal';
      return entry.type === 'directory' &&
        entry.xattrs?.get(OVERLAYFS_OPAQUE)?.toString('latin1') === 'y'
        ? 'opaque'
        : undefined;
    case 'none':
      return undefined;
  }
};

/**
 * The path that a whiteout acts on: that of the object that a removal deletes, or of the directory
 * that an opaque one empties. Only for entries that `whiteoutOf` says are whiteouts of that spec.
 */
export const whiteoutTarget = (spec: WhiteoutSpec, { path }: { path: string }): string => {
  if (spec !== 'oci') return path;
  const parent = path.slice(0, path.length - nameOf(path).length);
  const name = nameOf(path);
  return name === OCI_OPAQUE ? parent.slice(0, -1) : parent + name.slice(OCI_PREFIX.length);
};

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
