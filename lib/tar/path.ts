/** Paths of entries. */

import { RafsError } from '../errors.js';

const UNPLAIN = /(?:^|\/)\.{0,2}(?:\/|$)/; // an empty, '.' or '..' component
/** Whether a path has a component that is empty, '.' or '..'; '' has. */
export const isUnplainPath = (path: string): boolean => UNPLAIN.test(path);

/**
 * A name in a tar as the path of an entry: without leading '/' and './', without '.' components
 * and doubled or trailing slashes; '' is the root. CORRUPT if it has a '..' or a NUL.
 */
export const normalPath = (name: string): string => {
  const from = name.charCodeAt(0) === 0x2e && name.charCodeAt(1) === 0x2f ? 2 : 0;
  const to = name.charCodeAt(name.length - 1) === 0x2f ? name.length - 1 : name.length;
  const plain = name.slice(from, to);
  if (!UNPLAIN.test(plain)) {
    if (plain.includes('\0'))
      throw new RafsError('CORRUPT', 'a path contains a NUL', { path: name });
    return plain;
  }
  const parts = name.split('/').filter(part => part !== '' && part !== '.');
  if (parts.includes('..')) {
    throw new RafsError('CORRUPT', `'${name}' leads out of the layer`, { path: name });
  }
  const path = parts.join('/');
  if (path.includes('\0')) throw new RafsError('CORRUPT', 'a path contains a NUL', { path });
  return path;
};
