/**
 * Extended attributes by which overlayfs says what the files of an upper directory mean. They are
 * notes of one mount to itself, so none of them belongs into an image: a mount that the image is
 * part of would take them for its own.
 */
import { RafsError } from '../errors.js';
import type { Entry } from '../model/entry.js';
import { shown } from '../model/names.js';
import { OVERLAYFS_OPAQUE } from './whiteout.js';

type Xattrs = ReadonlyMap<string, Buffer>;

/** Those of mounts by root, and of mounts by others, with option `userxattr`. */
const PREFIXES = ['trusted.overlay.', 'user.overlay.'] as const;

const prefixOf = (name: string): string | undefined =>
  PREFIXES.find(prefix => name.startsWith(prefix));

/** Which marks stay: that of opaque directories is needed to lay a layer on others. */
export type KeptMarks = 'all' | 'opaque' | 'none';

/** The value of a mark; undefined if the object does not have it. */
const markOf = (xattrs: Xattrs | undefined, mark: string): string | undefined => {
  for (const prefix of PREFIXES) {
    const value = xattrs?.get(prefix + mark);
    if (value) return value.toString('latin1');
  }
  return undefined;
};

/** Whether files in a directory are whiteouts by their attributes: overlayfs asks it first. */
export const hasMarkedWhiteouts = (directory: Xattrs | undefined): boolean =>
  markOf(directory, 'opaque') === 'x';

/** Whether an object is a whiteout in a directory for which `hasMarkedWhiteouts` holds. */
export const isMarkedWhiteout = ({ type, size }: Entry, xattrs: Xattrs | undefined): boolean =>
  type === 'file' && size === 0 && markOf(xattrs, 'whiteout') !== undefined;

/**
 * The attributes of an object without marks. That of an opaque directory has one name if it is kept.
 *
 * @param leftOut is told the name of each attribute that is no mark, but cannot be kept
 * @throws UNSUPPORTED if content of the object is in a layer below, where this layer alone does not
 *   say what it is
 */
export const withoutMarks = (
  kept: KeptMarks,
  { type }: Entry,
  xattrs: Xattrs | undefined,
  leftOut: (name: string) => void,
): Xattrs | undefined => {
  if (!xattrs) return undefined;
  if (type === 'file' && markOf(xattrs, 'metacopy') !== undefined) {
    throw new RafsError(
      'UNSUPPORTED',
      'only the attributes of the file are in this overlayfs directory, its content is below ' +
        '(metacopy): mount with metacopy=off, or change the content',
    );
  }
  const origin = type === 'directory' ? markOf(xattrs, 'redirect') : undefined;
  if (origin !== undefined) {
    throw new RafsError(
      'UNSUPPORTED',
      `the directory is '${shown(origin)}' of the layers below under another name (redirect): ` +
        'mount with redirect_dir=off, or copy the directory',
    );
  }
  if (kept === 'all') return xattrs;
  const rest = new Map<string, Buffer>();
  for (const [name, value] of xattrs) {
    const prefix = prefixOf(name);
    if (prefix === undefined) rest.set(name, value);
    else if (name.startsWith('overlay.', prefix.length)) leftOut(name); // of an overlay inside
  }
  if (kept === 'opaque' && type === 'directory' && markOf(xattrs, 'opaque') === 'y') {
    rest.set(OVERLAYFS_OPAQUE, Buffer.from('y'));
  }
  return rest.size > 0 ? rest : undefined;
};
