/** Inline xattrs of a v6 inode: a header, then entries padded to 4 bytes. */
import { alignUp } from '../../layout/align.js';
import { RafsError } from '../../errors.js';
import { XattrEntry, XattrHeader } from '../../layout/rafs-v6.js';
import { XATTR_PREFIXES } from '../../layout/rafs.js';
import type { Xattrs } from '../../tree/inode-attributes.js';

const KEY_LIMIT = 255;
const VALUE_LIMIT = 0xffff;

export interface XattrArea {
  bytes: Buffer;
  icount: number;
}

const split = (key: string): [index: number, suffix: string] => {
  for (const [prefix, index] of XATTR_PREFIXES) {
    if (key.startsWith(prefix)) return [index, key.slice(prefix.length)];
  }
  throw new RafsError('UNSUPPORTED', `xattr '${key}' has a prefix that EROFS cannot store`);
};

/** Encodes a set of xattrs in the order of the set; keys are latin1 strings. */
export const encodeXattrs = (xattrs: Xattrs): XattrArea => {
  const entries: Buffer[] = [];
  let size = XattrHeader.size;
  for (const [key, value] of xattrs) {
    if (key.length > KEY_LIMIT)
      throw new RafsError('LIMIT', `an xattr name of ${key.length} bytes is too long`);
    if (value.length > VALUE_LIMIT) {
      throw new RafsError('LIMIT', `xattr '${key}' of ${value.length} bytes is too large`);
    }
    const [nameIndex, suffix] = split(key);
    const entry = Buffer.alloc(alignUp(XattrEntry.size + suffix.length + value.length, 4));
    XattrEntry.encodeInto(entry, 0, {
      nameSize: suffix.length,
      nameIndex,
      valueSize: value.length,
    });
    entry.write(suffix, XattrEntry.size, 'latin1');
    value.copy(entry, XattrEntry.size + suffix.length);
    entries.push(entry);
    size += entry.length;
  }
  const icount = (size - XattrHeader.size) / 4 + 1;
  if (icount > 0xffff)
    throw new RafsError('LIMIT', `the xattrs of an inode cannot take ${size} bytes`);
  return { bytes: Buffer.concat([XattrHeader.encode({ sharedCount: 0 }), ...entries]), icount };
};
