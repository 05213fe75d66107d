/**
 * Extended attributes of files. Node has no API for them; an optional native package reads them.
 */
import fs from 'node:fs';
import { isUtf8 } from 'node:buffer';
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { RafsError } from '../../lib/errors.js';
import { saidOnce } from '../../lib/model/warnings.js';

/** The package's calls that we use. They do not follow a symlink at the end of the path. */
export interface Native {
  listAttributesSync(path: string): string[];
  /** null if there is no such attribute */
  getAttributeSync(path: string, name: string): Buffer | null;
}

const PACKAGE = '@napi-rs/xattr';

const load = (): Native | null => {
  try {
    return createRequire(import.meta.url)(PACKAGE) as Native; // the package's own types agree
  } catch {
    return null; // not installed, or not for this platform
  }
};

/** Attributes that an image can hold; any other fails the build. */
const NAMESPACES = /^(?:user\.|trusted\.|security\.|system\.posix_acl_(?:access|default))/;

/** Attributes by name (a latin1 string of its bytes), in byte order; undefined if it has none. */
export type XattrReader = (path: string) => ReadonlyMap<string, Buffer> | undefined;

/**
 * Makes a reader for the attributes of the object at a path (a latin1 string of its bytes); for a
 * symlink these are its own. A file system without attributes has none. What cannot be read here is
 * reported to `warn`, or fails with UNSUPPORTED if `required`. An attribute that an image cannot hold
 * is left out, and reported once.
 */
export const xattrReader = (
  warn: (message: string) => void,
  { native = load(), required = false }: { native?: Native | null; required?: boolean } = {},
): XattrReader => {
  if (!native && required) {
    const message = `${PACKAGE} is not installed, without which attributes cannot be read`;
    throw new RafsError('UNSUPPORTED', message);
  }
  if (!native) {
    warn(`extended attributes are left out: ${PACKAGE} is not installed`);
    return () => undefined;
  }
  const say = saidOnce(warn);
  return path => {
    if (isAscii(path)) return attributesOf(native, path, path, say);
    const bytes = Buffer.from(path, 'latin1');
    if (isUtf8(bytes)) return attributesOf(native, bytes.toString(), path, say);
    return throughParent(native, path, say);
  };
};

/**
 * The package takes only paths in UTF-8. Any other path is reached through an open directory: its
 * parent if at least its name is in UTF-8, or itself if it is a directory.
 */
const throughParent = (
  native: Native,
  path: string,
  warn: (message: string) => void,
): ReadonlyMap<string, Buffer> | undefined => {
  const slash = path.lastIndexOf('/');
  const name = Buffer.from(path.slice(slash + 1), 'latin1');
  const named = isUtf8(name);
  const directory = named ? path.slice(0, slash + 1) || '.' : path;
  let fd: number;
  try {
    const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;
    // a parent may be a symlink, but the object itself is not followed
    const flags = O_RDONLY | O_DIRECTORY | (named ? 0 : O_NOFOLLOW);
    fd = fs.openSync(Buffer.from(directory, 'latin1'), flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (named || (code !== 'ENOTDIR' && code !== 'ELOOP')) throw error;
    warn(`extended attributes are left out: the name is not in UTF-8: ${JSON.stringify(path)}`);
    return undefined;
  }
  try {
    const through = `/proc/self/fd/${fd}/${named ? name.toString() : '.'}`;
    return attributesOf(native, through, path, warn);
  } finally {
    fs.closeSync(fd);
  }
};

/** @param through the path by which the package reaches the object */
const attributesOf = (
  native: Native,
  through: string,
  path: string,
  warn: (message: string) => void,
): ReadonlyMap<string, Buffer> | undefined => {
  try {
    const names = native.listAttributesSync(through);
    if (names.length === 0) return undefined;
    const pairs: [string, Buffer][] = [];
    for (const name of names) {
      if (!NAMESPACES.test(name)) {
        warn(`xattr ${JSON.stringify(name)} is left out: images have no such namespace`);
        continue;
      }
      const value = native.getAttributeSync(through, name);
      if (value) pairs.push([Buffer.from(name).toString('latin1'), value]);
    }
    return pairs.length > 0 ? new Map(pairs.sort(([a], [b]) => (a < b ? -1 : 1))) : undefined;
  } catch (error) {
    if (error instanceof RafsError) throw error;
    const { message } = error as Error;
    const errno = Number(/\(os error (\d+)\)/.exec(message)?.[1]);
    // the package itself refuses a name that is not in UTF-8
    if (!errno) throw new RafsError('UNSUPPORTED', message, { path }, { cause: error });
    const code = getSystemErrorName(-errno);
    if (code === 'ENOTSUP' || code === 'EOPNOTSUPP' || code === 'ENOSYS') return undefined;
    throw Object.assign(error as Error, { code, errno: -errno, syscall: 'listxattr', path });
  }
};

const isAscii = (text: string): boolean => !/[^\x00-\x7f]/.test(text); // eslint-disable-line no-control-regex
