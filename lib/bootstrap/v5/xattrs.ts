/** Xattrs of a v5 inode: a size, then pairs of name and value without padding between them. */
import { alignUp } from '../../layout/align.js';
import { RafsError } from '../../errors.js';
import { V5, XattrHeadV5, XattrPairV5 } from '../../layout/rafs-v5.js';
import { XATTR_PREFIXES } from '../../layout/rafs.js';
import type { Xattrs } from '../../tree/inode-attributes.js';

const KEY_LIMIT = 255;
const VALUE_LIMIT = 0x10000;

/** Bytes of the pairs, rounded up to the format's unit: what an inode's block count includes. */
export const xattrSpace = (area: Buffer | undefined): number =>
  area ? area.length - XattrHeadV5.size : 0;

/** Encodes a set of xattrs in the order of the set; keys are latin1 strings. */
export const encodeXattrsV5 = (xattrs: Xattrs): Buffer => {
  let size = 0;
  for (const [key, value] of xattrs) {
    if (key.length > KEY_LIMIT)
      throw new RafsError('LIMIT', `an xattr name of ${key.length} bytes is too long`);
    if (value.length > VALUE_LIMIT) {
      throw new RafsError('LIMIT', `xattr '${key}' of ${value.length} bytes is too large`);
    }
    if (!XATTR_PREFIXES.some(([prefix]) => key.startsWith(prefix))) {
      throw new RafsError('UNSUPPORTED', `xattr '${key}' has a prefix that RAFS cannot store`);
    }
    size += XattrPairV5.size + key.length + 1 + value.length;
  }
  const area = Buffer.alloc(XattrHeadV5.size + alignUp(size, V5.ALIGN));
  XattrHeadV5.encodeInto(area, 0, { size });
  let at = XattrHeadV5.size;
  for (const [key, value] of xattrs) {
    XattrPairV5.encodeInto(area, at, { size: key.length + 1 + value.length });
    at += XattrPairV5.size;
    at += area.write(key, at, 'latin1') + 1;
    at += value.copy(area, at);
  }
  return area;
};

/**
 * The pairs in `image` from `start` to `end`, in their order.
 *
 * CORRUPT for sizes that do not fit, a pair without NUL or name, and a name that comes twice.
 */
export const readXattrsV5 = (image: Buffer, start: number, end: number): Map<string, Buffer> => {
  const found = new Map<string, Buffer>();
  for (let at = start; at < end;) {
    const pair = at + XattrPairV5.size;
    const next = pair <= end ? pair + XattrPairV5.decode(image, at).size : Infinity;
    if (next > end) throw new RafsError('CORRUPT', 'an xattr extends past the end of its area');
    const nul = image.indexOf(0, pair);
    if (nul <= pair || nul >= next) throw new RafsError('CORRUPT', 'an xattr has no name');
    const name = image.toString('latin1', pair, nul);
    if (found.has(name)) throw new RafsError('CORRUPT', `xattr '${name}' occurs twice`);
    found.set(name, Buffer.from(image.subarray(nul + 1, next)));
    at = next;
  }
  return found;
};
