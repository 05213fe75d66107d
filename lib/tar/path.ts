/** Paths of entries. */

import { RafsError } from '../errors.js';

const UNPLAIN = /(?:^|\/)\.{0,2}(?:\/|$)/; // an empty, '.' or '..' component
/** Whether a path has a component that is empty, '.' or '..'; '' has. */
export const isUnplainPath = (path: string): boolean => UNPLAIN.test(path);

/**
 * A name in a tar as the path of an entry: without leading '/' and './', without '.' components
 * and doubled or trailing slashes; '' is the root. A '..' takes back the name before it, or nothing
 * at the root, as in containerd; `clamped` is then told. CORRUPT if the name has a NUL.
 */
export const normalPath = (name: string, clamped?: () => void): string => {
  const from = name.charCodeAt(0) === 0x2e && name.charCodeAt(1) === 0x2f ? 2 : 0;
  const to = name.charCodeAt(name.length - 1) === 0x2f ? name.length - 1 : name.length;
  const plain = name.slice(from, to);
  const path = UNPLAIN.test(plain) ? plainParts(name, clamped).join('/') : plain;
  if (path.includes('\0')) throw new RafsError('CORRUPT', 'a path contains a NUL', { path });
  return path;
};

const plainParts = (name: string, clamped?: () => void): string[] => {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) clamped?.();
    } else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts;
};

/** Where a symlink in a directory leads, without looking what is on the way; '' is the root. */
export const linkedPath = (directory: string, target: string): string =>
  normalPath(target.startsWith('/') ? target : `${directory}/${target}`);

/** What is said of a name that is clamped to the root. */
export const outsideName = (name: string): string =>
  `${JSON.stringify(name)} leads out of the layer: taken from its root`;
