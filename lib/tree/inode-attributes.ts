/** What an image says of an inode. */
import { RafsError } from '../errors.js';
import type { Entry } from '../model/entry.js';
import { MAX_PATH } from '../model/limits.js';
import { MODE_OF_TYPE } from '../model/mode.js';

export type Xattrs = ReadonlyMap<string, Buffer>;

export interface InodeAttributes {
  /** with the type bits */
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNsec: number;
  size: number;
  rdev: number;
  /** a tar has this name as a hardlink, or as the target of one */
  hardlink?: boolean;
  /** of a symlink */
  target?: string;
  xattrs?: Xattrs;
}

/**
 * Whether this may be a directory that nothing in its layer describes. An image does not say so, but
 * these are the attributes that such a directory gets.
 */
export const isLikeImplied = (inode: InodeAttributes): boolean => {
  const { mode, uid, gid, mtime, mtimeNsec, xattrs } = inode;
  return (
    mode === (MODE_OF_TYPE.directory | 0o755) &&
    uid === 0 &&
    gid === 0 &&
    mtime === 0 &&
    mtimeNsec === 0 &&
    (xattrs === undefined || xattrs.size === 0)
  );
};

/** LIMIT for a path or a target that is too long. */
export const checkLengths = ({ path, target = '' }: Entry): void => {
  const [what, length] =
    path.length > MAX_PATH ? ['path', path.length] : ['link target', target.length];
  if (length <= MAX_PATH) return;
  const message = `a ${what} of ${length} bytes exceeds the limit of ${MAX_PATH}`;
  throw new RafsError('LIMIT', message, { path });
};
